"""Finding programs: a variable before the search path, one sentence when there is none."""

import pytest

from fineq.common.tools import ToolError, find_tool


def test_a_variable_comes_before_the_search_path(tmp_path, monkeypatch):
    for name in ("path", "named"):
        program = tmp_path / name / "tool"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_tool("Tool", "tool", "install it") == tmp_path / "path" / "tool"
    monkeypatch.setenv("TOOL_EXE", str(tmp_path / "named" / "tool"))
    assert find_tool("Tool", "tool", "install it", "TOOL_EXE") == tmp_path / "named" / "tool"


def test_a_missing_program_is_one_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match=r"^Tool is missing \(no tool on the PATH\): install it$"):
        find_tool("Tool", "tool", "install it", "TOOL_EXE")
    monkeypatch.setenv("TOOL_EXE", "nowhere")
    with pytest.raises(ValueError, match=r"^Tool is missing \(TOOL_EXE=nowhere is not a program\): install it$"):
        find_tool("Tool", "tool", "install it", "TOOL_EXE", ValueError)
