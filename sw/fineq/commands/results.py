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
) -> None:
    """Whether published results are still what the code makes, by the record beside them."""
    from fineq.common import markdown, provenance

    place = Path(directory)  # a text so far: pages that this marks are not made by it, and must not be recorded so
    if check == mark:
        raise FineqError("give one of --check and --mark")
    if not (place / provenance.RECORD).is_file():
        raise FineqError(f"{place} holds no {provenance.RECORD}: name a directory of results, as docs/results")
    if mark:
        for page in provenance.mark(place):
            typer.echo(f"wrote {page}")
        return
    found = provenance.states(place)
    rows = [
        (name, entry and entry.command or "", entry and (entry.commit or "")[:7] or "", state)
        for name, (state, entry) in found.items()
    ]
    typer.echo(markdown.table(("file", "command", "commit", "state"), rows), nl=False)
    wrong = [name for name, (state, _) in found.items() if state in (provenance.State.MISSING, provenance.State.EDITED)]
    if wrong:
        raise CheckFailed(f"no entry, or edited by hand: {', '.join(wrong)}; make them again with their commands")
