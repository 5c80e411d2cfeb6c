"""`fineq results`: whether published results are still what the code makes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError


def results(
    directory: Annotated[str, typer.Argument(help="Directory of results.")] = "docs/results",
    check: Annotated[bool, typer.Option("--check", help="List every file with its command, commit and state.")] = False,
    mark: Annotated[bool, typer.Option("--mark", help="Say at the top of pages which are not current.")] = False,
    record: Annotated[
        str | None, typer.Option(metavar="FILE", help="Enter a file of the directory by hand, with --reason; and mark.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for --record: what was edited, or where the file is from.")] = "",
    page_says: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="For --record: command that the page names as its own.")
    ] = None,
) -> None:
    """Whether published results are still what the code makes, by the record beside them."""
    from fineq.common import markdown, provenance

    place = Path(directory)  # a text so far: pages that this marks are not made by it, and must not be recorded so
    if check + mark + (record is not None) != 1:
        raise FineqError("give one of --check, --mark and --record FILE")
    if record is None and (reason or page_says):
        raise FineqError("--reason and --page-says belong to --record FILE")
    if not (place / provenance.RECORD).is_file():
        raise FineqError(f"{place} holds no {provenance.RECORD}: name a directory of results, as docs/results")
    if record is not None:
        if Path(record).parent not in (Path(), place):
            raise FineqError(
                f"{record} is not in {place}: name its directory too, as in fineq results DIR --record FILE"
            )
        provenance.record_by_hand(place / Path(record).name, reason, page_says)
        typer.echo(f"wrote {place / provenance.RECORD}")
    if not check:
        for page in provenance.mark(place):
            typer.echo(f"wrote {page}")
        return
    found = provenance.states(place)
    rows = [
        (name, entry.known_command if entry else "", (entry.commit or "")[:7] if entry else "", state)
        for name, (state, entry) in found.items()
    ]
    typer.echo(markdown.table(("file", "command", "commit", "state"), rows), nl=False)
    if sentence := provenance.about_unknown_commits(place):
        typer.echo(sentence, err=True)
    wrong = [name for name, (state, _) in found.items() if state in (provenance.State.MISSING, provenance.State.EDITED)]
    if wrong:
        raise CheckFailed(
            f"no entry, or edited since: {', '.join(wrong)}; make them again with their commands, or record an edit "
            "by hand with --record FILE --reason TEXT"
        )
