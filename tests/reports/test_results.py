"""Every file of docs/results has an entry in its record, and every page that is not current says so at its top."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq.common import provenance
from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq.common.provenance import RECORD, State

RESULTS = Path(__file__).parents[2] / "docs/results"
CODE = "fineq.common.markdown"


def state(place: Path, name: str) -> State:
    return provenance.states(place)[name][0]


def faults(place: Path) -> list[str]:
    """What is wrong with a directory of results."""
    missing = [
        f"{name} has no entry" for name, (found, _) in provenance.states(place).items() if found is State.MISSING
    ]
    texts = provenance.marked(place)
    wrong = [name for name, text in texts.items() if (place / name).read_bytes().decode() != text]
    return missing + [f"{name} is not marked as it should be: run `fineq results --mark`" for name in wrong]


def test_published_results_say_where_they_come_from():
    assert faults(RESULTS) == []


@pytest.fixture
def place(tmp_path):
    """A directory of results with a page, in a repository; nothing is recorded yet."""
    place = tmp_path / "clone/results"
    write_text(place / "page.md", "# Title\n\nMade by `fineq bench`: fast.\n\nText.\n")
    write_text(place / "page.csv", "1,2\n")
    write_text(place / "index.md", "# All\n")
    write_text(place / RECORD, "{}\n")
    git = ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    return place


def test_older_files_have_the_command_of_their_page_and_their_commit(place):
    assert faults(place) == ["page.csv has no entry", "page.md has no entry"]
    provenance.record_older(place)
    head = subprocess.run(["git", "-C", place, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    for entry in provenance.read(place).values():
        assert (entry.command, entry.commit, entry.made_before, entry.key) == ("fineq bench", head, True, None)
    assert state(place, "page.md") is State.BEFORE
    assert faults(place) == ["page.md is not marked as it should be: run `fineq results --mark`"]
    assert provenance.mark(place) == [place / "page.md"]
    assert faults(place) == [] and provenance.mark(place) == []
    line = (
        f"> Made before the version of the code was recorded (committed in {head[:7]}): "
        "run `fineq bench` to make it again."
    )
    assert (place / "page.md").read_text().splitlines()[:5] == ["# Title", "", line, "", "Made by `fineq bench`: fast."]


def test_what_a_command_makes_is_current_until_the_code_changes(place, monkeypatch):
    provenance.record_older(place)
    provenance.mark(place)
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    assert state(place, "page.md") is State.CURRENT and state(place, "page.csv") is State.BEFORE
    provenance.mark(place)
    assert (place / "page.md").read_text() == "# Title\n\nMade by `fineq bench`: fast.\n\nText.\n"
    entry = provenance.read(place)["page.md"]
    assert entry.sha256 == hashlib.sha256((place / "page.md").read_bytes()).hexdigest()
    assert entry.code == (CODE,) and "python" in entry.versions and "typer" in entry.versions
    monkeypatch.setattr(provenance, "code_key", lambda *code: "another")
    assert state(place, "page.md") is State.CHANGED and "page.md" in faults(place)[0]


def test_the_key_follows_the_text_of_what_is_imported(tmp_path, monkeypatch):
    files = [write_text(tmp_path / name, name) for name in ("a.py", "b.py")]
    monkeypatch.setattr(provenance, "deciding_files", lambda *code: files)
    keys = []
    for text in ("1", "2", "1"):
        write_text(files[1], text)
        provenance.code_key.cache_clear()
        keys.append(provenance.code_key("a"))
    provenance.code_key.cache_clear()
    assert keys[0] == keys[2] != keys[1]


def test_a_module_that_has_gone_counts_as_changed(place):
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    text = (place / RECORD).read_text()
    write_text(place / RECORD, text.replace(CODE, "fineq.no_such_module"))
    assert state(place, "page.md") is State.CHANGED


def test_an_edit_by_hand_shows(place):
    provenance.record_older(place)
    provenance.mark(place)
    assert run_fineq("results", place, "--check").code == 0
    write_text(place / "page.md", (place / "page.md").read_text() + "More.\n")
    checked = run_fineq("results", place, "--check")
    assert checked.code == 1 and "by hand: page.md;" in checked.stderr
    assert "| page.md | fineq bench |" in checked.stdout and "| edited by hand |" in checked.stdout
    assert run_fineq("results", place, "--mark").stdout == f"wrote {place / 'page.md'}\n"
    assert "> Edited by hand since it was made" in (place / "page.md").read_text()


def test_commands_record_what_they_write_to_results_and_nothing_elsewhere(place, tmp_path):
    provenance.record_older(place)
    (place / "page.csv").unlink()
    assert run_fineq("registers", "--output", place / "registers.md").code == 0
    entries = provenance.read(place)
    made = entries["registers.md"]
    assert made.command == "fineq registers --output registers.md"
    assert made.code == ("fineq_reports.commands.rtl.architecture",) and made.key and not made.made_before
    assert state(place, "registers.md") is State.CURRENT
    assert entries["page.md"].made_before and "page.csv" not in entries
    assert run_fineq("registers", "--output", tmp_path / "other/registers.md").code == 0
    assert [file.name for file in (tmp_path / "other").iterdir()] == ["registers.md"]


def test_without_git(place, monkeypatch):
    monkeypatch.setenv("PATH", "")
    provenance.record_older(place)
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    provenance.mark(place)
    entries = provenance.read(place)
    assert entries["page.csv"].commit is None
    assert (entries["page.md"].commit, entries["page.md"].uncommitted) == (None, None)
    assert state(place, "page.md") is State.CURRENT and faults(place) == []


def test_line_ends_of_a_page_stay(place):
    (place / "page.md").write_bytes(b"# Title\n\nText\r\nof a model\r.\n")
    provenance.record_older(place)
    provenance.mark(place)
    assert (place / "page.md").read_bytes().endswith(b"Text\r\nof a model\r.\n") and faults(place) == []


def test_command_lines_name_no_place_of_a_machine():
    words = ["a", "/x/y/model", "--text=/x/t.txt", "-o", "docs/results", "two words"]
    assert provenance.command_line(words) == 'fineq a model --text=t.txt -o docs/results "two words"'


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"code": []}}', json.dumps({"a": {"x": 1}})])
def test_a_damaged_record_is_refused(place, text):
    write_text(place / RECORD, text)
    with pytest.raises(FineqError, match="is no record"):
        provenance.read(place)


@pytest.mark.parametrize("words", [[], ["--check", "--mark"], ["elsewhere", "--check"]])
def test_bad_calls_are_refused(words):
    outcome = run_fineq("results", *words)
    assert outcome.code == 1 and outcome.stderr.startswith("error: ")
