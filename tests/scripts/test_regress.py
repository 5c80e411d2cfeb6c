"""Steps that passed on the same sources are not run again, and nothing else is kept."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def regress():
    spec = importlib.util.spec_from_file_location("regress", ROOT / "scripts" / "regress.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path):
    place = tmp_path / "repository"
    place.mkdir()
    (place / "source").write_text("1\n")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=place, check=True)
    commit(place)
    return place


def commit(place: Path) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e"]
    subprocess.run(["git", *who, "commit", "-qam", "change"], cwd=place, check=True)


def test_goes_on_behind_what_has_passed(regress, repository, tmp_path, capfd):
    log = tmp_path / "log"
    steps = [f"first: echo first >> {log}", f"second: echo second >> {log}; test -e {tmp_path / 'there'}"]
    assert regress.run(tmp_path / "kept", steps, repository) == 1
    assert "second fails after 0:00:0" in capfd.readouterr().err
    (tmp_path / "there").touch()
    assert regress.run(tmp_path / "kept", steps, repository) == 0
    assert log.read_text().split() == ["first", "second", "second"]
    assert regress.run(tmp_path / "kept", steps, repository) == 0
    assert log.read_text().split() == ["first", "second", "second"]
    assert "[1/2] first: passed before on tree" in capfd.readouterr().out


def test_other_sources_or_another_command_are_run_again(regress, repository, tmp_path):
    log = tmp_path / "log"

    def runs(*steps: str) -> int:
        log.write_text("")
        assert regress.run(tmp_path / "kept", steps, repository) == 0
        return len(log.read_text().split())

    step = f"one: echo x >> {log}"
    assert [runs(step), runs(step)] == [1, 0]
    assert [runs(f"{step} "), runs(f"{step}; true")] == [0, 1]
    (repository / "source").write_text("2\n")
    assert [runs(step), runs(step)] == [1, 1]
    commit(repository)
    assert [runs(step), runs(step)] == [1, 0]
    (repository / "new").write_text("\n")
    assert runs(step) == 1


def test_a_step_that_changes_files_is_not_kept(regress, repository, tmp_path, capfd):
    assert regress.run(tmp_path / "kept", ["writes: echo 3 > source"], repository) == 0
    assert not list((tmp_path / "kept").iterdir())
    assert "not kept" in capfd.readouterr().out


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"tree": "x", "command": "true", "seconds": 1})])
def test_what_is_not_understood_counts_for_nothing(regress, repository, tmp_path, text):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "step.json").write_text(text)
    assert regress.run(kept, ["step: false"], repository) == 1
