"""Where published results come from: a file `provenance.json` beside them, with an entry for every file.

A directory that holds such a file is one of results. A command that writes to it enters what it has written: its
command line, the commit and whether the tree had further changes, the versions of the requirements it had loaded, and
a key over all code that it reaches by imports. Elsewhere nothing is recorded, and nothing here needs git. What no
command recorded, a person enters, with a reason (`record_by_hand`); a command that nobody recorded is unknown,
whatever the page says.

The key leaves versions of packages out, so that a result is current, or not, on every machine alike.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from fineq.common.cache_keys import DISTRIBUTION, LENGTH, deciding_files
from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text

RECORD = "provenance.json"

UNRECORDED = (RECORD, "index.md")
"""Files of a directory of results that are none: the record itself, and the page that lists the others."""


class State(StrEnum):
    """What is known of a file, as reports name it."""

    CURRENT = "current"
    CHANGED = "code changed since"
    BEFORE = "made before this was recorded"
    BY_HAND = "recorded by hand"
    EDITED = "edited since it was recorded"
    MISSING = "no entry"


@dataclass(frozen=True)
class Entry:
    """What is recorded of one file.

    Attributes:
        sha256: of the file, a page without the line that `mark` puts there.
        command: that made it, as the run itself recorded it; none if it is not known.
        commit: of the code, or of the file if it was made before; none without git, or if it is not known.
        uncommitted: whether the tree had changes beside those of the results; none without git.
        versions: of Python and the loaded requirements, by name.
        code: modules where the command begins.
        key: over the texts of all code that these reach; none if it was made before.
        made_before: no run recorded the file: it is older than the record, or a person entered it.
        page_says: command that the page names, where none is recorded; nobody has checked that it made the file.
        by_hand: why a person recorded the file, each time, the last reason last.
    """

    sha256: str
    command: str | None
    commit: str | None
    uncommitted: bool | None = None
    versions: dict[str, str] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    key: str | None = None
    made_before: bool = False
    page_says: str | None = None
    by_hand: tuple[str, ...] = ()

    @property
    def known_command(self) -> str:
        """The command, or how little is known of it."""
        if self.command:
            return self.command
        return f"unknown, the page says `{self.page_says}`" if self.page_says else "unknown"


# -- recording -------------------------------------------------------------------------------------------------


@contextmanager
def recording(paths: Iterable[Path], *, command: str, code: Sequence[str]) -> Iterator[None]:
    """Record whatever is written meanwhile to the directories of results among some paths, after an error too.

    Another command that writes to the same directory at the same time is taken for this one.

    Args:
        paths: directories, or files in them; those that are no results are left alone.
        command: the command line.
        code: dotted names of the modules where the command begins.
    """
    places = {path if path.is_dir() else path.parent for path in paths}
    before = {place: _written(place) for place in sorted(places) if (place / RECORD).is_file()}
    try:
        yield
    finally:
        for place, known in before.items():
            changed = [place / name for name, stamp in _written(place).items() if known.get(name) != stamp]
            if changed:
                record(changed, command=command, code=code)


def record(files: Sequence[Path], *, command: str, code: Sequence[str]) -> None:
    """Enter files that a command has just made in the records of their directories.

    Raises:
        FineqError: a record is damaged.
        ValueError: a module cannot be found, or imports in a way that cannot be followed.
    """
    key = code_key(*code)
    versions = _versions()
    for place in sorted({file.parent for file in files}):
        commit, uncommitted = _commit(place)
        entries = read(place)
        for file in files:
            if file.parent == place:
                entries[file.name] = Entry(
                    _digest(file), command, commit, uncommitted, versions, tuple(sorted(code)), key
                )
        _write(place, entries)


def record_by_hand(file: Path, reason: str, page_says: str | None = None) -> None:
    """Enter a file of which no run of a command can say how it came to be what it is.

    An entry that is there keeps its command, commit and key: they tell what the file was before. A file without one
    gets the commit that changed it last, but none in a shallow clone, where git would name the oldest commit it has.

    Args:
        file: in a directory of results.
        reason: why, in a few words.
        page_says: command that the page names, if none is recorded.

    Raises:
        FineqError: there is no such file or no reason, the file is what its entry says, or the record is damaged.
    """
    place, reason = file.parent, " ".join(reason.split()).rstrip(".;")
    if not reason:
        raise FineqError(f"say with --reason why {file.name} is recorded by hand")
    if file.name not in {each.name for each in _files(place)}:
        raise FineqError(f"{place} has no result {file.name!r}: give the name of a file of it")
    entries = read(place)
    entry = entries.get(file.name)
    if entry is not None and entry.sha256 == _digest(file) and page_says in (None, entry.page_says):
        raise FineqError(f"{file.name} is as its entry says: there is nothing to record")
    if entry is None:
        commit = None if _is_shallow(place) else _git(place, "log", "-1", "--format=%H", "--", file.name) or None
        entry = Entry("", None, commit, made_before=True)
    entries[file.name] = replace(
        entry,
        sha256=_digest(file),
        page_says=page_says or entry.page_says,
        by_hand=(*entry.by_hand, reason),
    )
    _write(place, entries)


def command_line(words: Sequence[str]) -> str:
    """A command line of `fineq` without the places of this machine: absolute paths keep their last part."""
    shown = [re.sub(r"(^|=)/(?:[^/]*/)*([^/]+)/?$", r"\1\2", word) for word in words]
    return " ".join(["fineq", *(f'"{word}"' if re.search(r"\s", word) else word for word in shown)])


@cache
def code_key(*code: str) -> str:
    """Hash over the texts of all modules of the project that some of them reach."""
    texts = sorted(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in deciding_files(*code))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:LENGTH]


# -- checking --------------------------------------------------------------------------------------------------


def read(place: Path) -> dict[str, Entry]:
    """Entries of a directory by the names of the files; none if nothing is recorded.

    Raises:
        FineqError: the record is damaged.
    """
    file = place / RECORD
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: Entry(**{**entry, "code": tuple(entry["code"]), "by_hand": tuple(entry.get("by_hand", ()))})
            for name, entry in found.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FineqError(f"{file} is no record of results: {error}; take it from the repository again") from None


def states(place: Path) -> dict[str, tuple[State, Entry | None]]:
    """State and entry of every file of a directory, by its name.

    Raises:
        FineqError: the record is damaged.
    """
    entries = read(place)
    return {file.name: (_state(file, entries.get(file.name)), entries.get(file.name)) for file in _files(place)}


def _state(file: Path, entry: Entry | None) -> State:
    if entry is None:
        return State.MISSING
    if _digest(file) != entry.sha256:
        return State.EDITED
    if entry.by_hand:
        return State.BY_HAND
    if entry.key is None:
        return State.BEFORE
    try:
        return State.CURRENT if code_key(*entry.code) == entry.key else State.CHANGED
    except ValueError:  # the module has gone, or has another name
        return State.CHANGED


def about_unknown_commits(place: Path) -> str:
    """A sentence on commits of entries that the history here lacks, because the clone is shallow; empty if none.

    Raises:
        CheckFailed: the whole history is here, so they are in none.
        FineqError: the record is damaged.
    """
    entries, unknown, shallow = read(place), {}, False
    for made_before, home in ((True, place), (False, _repository_of_code())):
        listed = None if home is None else _git(home, "rev-list", "HEAD")
        if home is None or listed is None:
            continue
        history = set(listed.split())
        for name, entry in entries.items():
            if entry.made_before is made_before and entry.commit is not None and entry.commit not in history:
                unknown[name] = entry.commit
                shallow = shallow or _is_shallow(home)
    if not unknown:
        return ""
    count = len(set(unknown.values()))
    if shallow:
        return (
            f"this clone is shallow and lacks {count} of the commits that entries name; the states are right all the "
            "same, for they follow from files and code: `git fetch --unshallow` brings the commits"
        )
    name, commit = next(iter(unknown.items()))
    raise CheckFailed(
        f"{count} of the commits that entries name are not in the history, such as {commit[:7]} of {name}: make the "
        "files again on a commit that stays"
    )


# -- the line of a page ----------------------------------------------------------------------------------------

SINCE, BEFORE, BY_HAND, EDITED = (
    "> Made with another version of the code",
    "> Made before the version of the code was recorded",
    "> Recorded by hand",
    "> Edited by hand since it was made",
)
"""How that line begins."""


def mark(place: Path) -> list[Path]:
    """Put a line below the titles of pages that are not current, and take it from those that are.

    Returns: the pages that have changed.

    Raises:
        FineqError: the record is damaged.
    """
    changed = []
    for name, text in marked(place).items():
        if _text(place / name) != text:
            changed.append(write_text(place / name, text))
    return changed


def marked(place: Path) -> dict[str, str]:
    """Texts of all pages that have an entry, by name, as `mark` writes them."""
    texts = {}
    for name, (state, entry) in states(place).items():
        if name.endswith(".md") and entry is not None:
            text = unmarked(_text(place / name))
            title, end, rest = text.partition("\n")
            texts[name] = text if state is State.CURRENT else f"{title}\n\n{_line(state, entry)}{end}{rest}"
    return texts


def _line(state: State, entry: Entry) -> str:
    begin = {State.EDITED: EDITED, State.BY_HAND: BY_HAND, State.BEFORE: BEFORE}.get(state, SINCE)
    how = "committed in" if entry.made_before else "commit"
    commit = f" ({how} {entry.commit[:7]})" if entry.commit else ""
    again = f"run `{entry.command}` to make it again" if entry.command else f"its command is {entry.known_command}"
    return f"{begin}{commit}: {'; '.join([*entry.by_hand, again])}."


def unmarked(text: str) -> str:
    """A page without the line that `mark` puts there: as its command wrote it."""
    lines = text.split("\n")
    if len(lines) > 2 and not lines[1] and lines[2].startswith((SINCE, BEFORE, BY_HAND, EDITED)):
        del lines[1:3]
    return "\n".join(lines)


# -- files and git ---------------------------------------------------------------------------------------------


def _files(place: Path) -> list[Path]:
    hidden = (file for file in place.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in hidden if file.name not in UNRECORDED)


def _written(place: Path) -> dict[str, tuple[int, int]]:
    """What changes whenever a file is written, with the same content too."""
    return {file.name: (file.stat().st_mtime_ns, file.stat().st_ino) for file in _files(place)}


def _digest(file: Path) -> str:
    content = file.read_bytes()
    if file.suffix == ".md":
        content = unmarked(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def _text(page: Path) -> str:
    return page.read_bytes().decode()  # with its line ends: what a model says may have others


def _write(place: Path, entries: dict[str, Entry]) -> None:
    there = {file.name for file in _files(place)}
    plain: dict[str, Any] = {name: asdict(entry) for name, entry in entries.items() if name in there}
    write_text(place / RECORD, json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _versions() -> dict[str, str]:
    """Versions of Python and of those requirements of the project that this process has loaded."""
    homes = metadata.packages_distributions()
    loaded = {home for name in sys.modules if "." not in name for home in homes.get(name, ())}
    found = {"python": platform.python_version()}
    for requirement in metadata.requires(DISTRIBUTION) or []:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if name in loaded and name != DISTRIBUTION:
            found[name] = metadata.version(name)
    return found


def _commit(results: Path) -> tuple[str | None, bool | None]:
    """Commit of the code that runs, and whether its tree had changes beside some results."""
    top = _repository_of_code()
    if top is None:
        return None, None
    skipped = results.resolve()
    others = [f":(exclude){skipped.relative_to(top)}"] if skipped.is_relative_to(top) and skipped != top else []
    changes = _git(top, "status", "--porcelain", "--", ".", *others)
    return _git(top, "rev-parse", "HEAD"), bool(changes)


def _repository_of_code() -> Path | None:
    """Root of the clone that holds the code that runs; none without git, or if it is installed elsewhere."""
    own = Path(__file__).resolve()
    top = _git(own.parent, "rev-parse", "--show-toplevel")
    # Code can also be installed into a directory of another repository, which does not track it.
    return Path(top) if top and _git(own.parent, "ls-files", own.name) else None


def _is_shallow(place: Path) -> bool:
    """Whether the history of a clone ends early."""
    return _git(place, "rev-parse", "--is-shallow-repository") == "true"


def _git(place: Path, *words: str) -> str | None:
    """What git prints; none without git or outside a repository."""
    try:
        done = subprocess.run(["git", "-C", place, *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
