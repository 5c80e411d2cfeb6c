"""Every file of docs/results has an entry in its record, and every page that is not current says so at its top."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq.common import provenance
from fineq.common.errors import CheckFailed, FineqError
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
    marks = [f"{name} is not marked as it should be: run `fineq results --mark`" for name in wrong]
    try:
        provenance.about_unknown_commits(place)
    except CheckFailed as error:
        return [*missing, *marks, str(error)]
    return missing + marks


def test_published_results_say_where_they_come_from():
    assert faults(RESULTS) == []


def git(place: Path, *words: str) -> str:
    """What git says in a repository."""
    named = ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=b", *words]
    return subprocess.run(named, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def place(tmp_path):
    """A directory of results with a page, in a repository; nothing is recorded yet."""
    place = tmp_path / "clone/results"
    write_text(place / "page.md", "# Title\n\nMade by `fineq bench`: fast.\n\nText.\n")
    write_text(place / "page.csv", "1,2\n")
    write_text(place / "index.md", "# All\n")
    write_text(place / RECORD, "{}\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        git(place, *words)
    return place


def record_all(place: Path) -> None:
    """Enter what no command recorded."""
    for name in ("page.md", "page.csv"):
        provenance.record_by_hand(place / name, "an old file")


def test_what_no_command_recorded_is_unknown_whatever_the_page_says(place):
    assert faults(place) == ["page.csv has no entry", "page.md has no entry"]
    record_all(place)
    head = git(place, "rev-parse", "HEAD")
    for entry in provenance.read(place).values():
        assert (entry.command, entry.known_command, entry.commit) == (None, "unknown", head)
        assert (entry.made_before, entry.key, entry.by_hand) == (True, None, ("an old file",))
    assert state(place, "page.md") is State.BY_HAND
    assert faults(place) == ["page.md is not marked as it should be: run `fineq results --mark`"]
    assert provenance.mark(place) == [place / "page.md"]
    assert faults(place) == [] and provenance.mark(place) == []
    line = f"> Recorded by hand (committed in {head[:7]}): an old file; its command is unknown."
    assert (place / "page.md").read_text().splitlines()[:5] == ["# Title", "", line, "", "Made by `fineq bench`: fast."]


def test_a_command_that_the_page_names_is_told_as_that(place):
    recorded = run_fineq("results", place, "--record", "page.md", "--reason", "old", "--page-says", "fineq bench")
    assert recorded.code == 0, recorded.stderr
    assert recorded.stdout == f"wrote {place / RECORD}\nwrote {place / 'page.md'}\n"
    assert "old; its command is unknown, the page says `fineq bench`.\n" in (place / "page.md").read_text()
    assert "| page.md | unknown, the page says `fineq bench` |" in run_fineq("results", place, "--check").stdout


def test_what_a_command_makes_is_current_until_the_code_changes(place, monkeypatch):
    record_all(place)
    provenance.mark(place)
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    assert state(place, "page.md") is State.CURRENT and state(place, "page.csv") is State.BY_HAND
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


def test_an_edit_that_nobody_records_is_a_fault(place):
    record_all(place)
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    provenance.mark(place)
    assert run_fineq("results", place, "--check").code == 0
    write_text(place / "page.md", (place / "page.md").read_text() + "More.\n")
    checked = run_fineq("results", place, "--check")
    assert checked.code == 1 and "edited since: page.md;" in checked.stderr
    assert "| page.md | fineq bench |" in checked.stdout and "| edited since it was recorded |" in checked.stdout
    assert run_fineq("results", place, "--mark").stdout == f"wrote {place / 'page.md'}\n"
    assert "> Edited by hand since it was made" in (place / "page.md").read_text()


def test_an_edit_is_recorded_with_its_reason_and_what_made_the_page_stays(place):
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    provenance.record_by_hand(place / "page.csv", "made with a spreadsheet")
    before = provenance.read(place)["page.md"]
    for number, reason in enumerate(("a unit\nspelt right", "one more."), 1):
        write_text(place / "page.md", (place / "page.md").read_text() + "More.\n")
        recorded = run_fineq("results", place, "--record", place / "page.md", "--reason", reason)
        assert recorded.code == 0, recorded.stderr
        assert len(provenance.read(place)["page.md"].by_hand) == number
    after = provenance.read(place)["page.md"]
    assert after.by_hand == ("a unit spelt right", "one more") and after.sha256 != before.sha256
    assert (after.command, after.commit, after.key) == (before.command, before.commit, before.key)
    assert state(place, "page.md") is State.BY_HAND and faults(place) == []
    line = f"> Recorded by hand (commit {(after.commit or '')[:7]}): a unit spelt right; one more; run `fineq bench` to"
    assert f"{line} make it again.\n" in (place / "page.md").read_text()
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])  # and a command makes it again
    assert state(place, "page.md") is State.CURRENT and provenance.read(place)["page.md"].by_hand == ()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--record", "page.md"], "say with --reason why page.md is recorded by hand"),
        (["--record", "page.md", "--reason", " "], "say with --reason why page.md is recorded by hand"),
        (["--record", "page.md", "--reason", "x"], "page.md is as its entry says: there is nothing to record"),
        (["--record", "none.md", "--reason", "x"], "has no result 'none.md': give the name of a file of it"),
        (["--record", RECORD, "--reason", "x"], f"has no result '{RECORD}'"),
        (["--record", "elsewhere/page.md", "--reason", "x"], "elsewhere/page.md is not in "),
        (["--check", "--reason", "x"], "--reason and --page-says belong to --record FILE"),
    ],
)
def test_what_cannot_be_recorded(place, words, sentence):
    record_all(place)
    before = (place / RECORD).read_bytes()
    outcome = run_fineq("results", place, *words)
    assert outcome.code == 1 and sentence in outcome.stderr and outcome.stderr.count("\n") == 1
    assert (place / RECORD).read_bytes() == before


def test_a_shallow_clone_lacks_commits_and_says_so(place, tmp_path):
    record_all(place)
    provenance.mark(place)
    for words in (["add", "."], ["commit", "-qm", "y"]):
        git(place, *words)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{place}", str(shallow))
    checked = run_fineq("results", shallow, "--check")
    assert checked.code == 0 and checked.stderr.count("\n") == 1
    assert "this clone is shallow and lacks 1 of the commits that entries name" in checked.stderr
    assert checked.stdout == run_fineq("results", place, "--check").stdout
    assert faults(shallow) == []
    provenance.record_by_hand(shallow / "page.csv", "x", page_says="fineq bench")
    assert provenance.read(shallow)["page.csv"].commit == git(place, "rev-parse", "HEAD~1")
    write_text(shallow / RECORD, "{}\n")
    assert git(shallow, "log", "-1", "--format=%H", "--", "page.csv") == git(place, "rev-parse", "HEAD")  # it is not
    provenance.record_by_hand(shallow / "page.csv", "x")
    assert provenance.read(shallow)["page.csv"].commit is None


def test_a_commit_of_no_history_is_a_fault(place):
    record_all(place)
    provenance.mark(place)
    text = (place / RECORD).read_text()
    write_text(place / RECORD, text.replace(git(place, "rev-parse", "HEAD"), "0123456" * 5 + "01234"))
    provenance.mark(place)
    checked = run_fineq("results", place, "--check")
    assert checked.code == 1 and "1 of the commits that entries name are not in the history, such as" in checked.stderr
    assert [fault for fault in faults(place) if "0123456 of page" in fault]


def test_commands_record_what_they_write_to_results_and_nothing_elsewhere(place, tmp_path):
    record_all(place)
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
    record_all(place)
    provenance.record([place / "page.md"], command="fineq bench", code=[CODE])
    provenance.mark(place)
    entries = provenance.read(place)
    assert entries["page.csv"].commit is None
    assert (entries["page.md"].commit, entries["page.md"].uncommitted) == (None, None)
    assert state(place, "page.md") is State.CURRENT and faults(place) == []


def test_line_ends_of_a_page_stay(place):
    (place / "page.md").write_bytes(b"# Title\n\nText\r\nof a model\r.\n")
    record_all(place)
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
