"""Files that appear whole or not at all."""

import os
import stat

import pytest

from fineq.common.files import replacing, write_bytes, write_text


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "report.md"
    assert write_text(path, "first\n") == path
    write_bytes(path, b"second\n")
    assert path.read_text() == "second\n"
    assert [file.name for file in path.parent.iterdir()] == ["report.md"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_an_error_changes_nothing(tmp_path):
    path = write_text(tmp_path / "picture.png", "old")
    with pytest.raises(RuntimeError), replacing(path) as aside:
        assert aside.suffix == ".png" and aside.parent == tmp_path
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
