"""The demo's bad input: one sentence, a non-zero exit. The demo itself is run by `make demo` and `make regress`."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run_demo(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fineq", "demo", *arguments], capture_output=True, text=True)


def test_missing_model_is_named(tmp_path):
    outcome = run_demo("--model", str(tmp_path / "nothing"), "--output", str(tmp_path / "out"))
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("error: ") and "nothing" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_unwritable_output_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    outcome = run_demo("--output", str(tmp_path / "file"))
    assert outcome.returncode == 1
    assert "error: cannot read or write" in outcome.stderr


@pytest.mark.regress
def test_demo_ends_with_a_report(tmp_path):
    outcome = run_demo("--output", str(tmp_path / "out"))
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    page = (tmp_path / "out" / "report.html").read_text()
    assert "bit-exact" in page and "NOT bit-exact" not in page
