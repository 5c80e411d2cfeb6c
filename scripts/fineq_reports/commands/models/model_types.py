"""`fineq model-types`: which model types of the installed transformers FineQ handles, and why not the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text
from fineq.common.progress import progress_display

NAME = "model-types"


def model_types(
    output: Annotated[Path, typer.Option(help="Directory for model-types.md and .json.")] = Path("build/model-types"),
    only: Annotated[list[str] | None, typer.Option(help="Only this model type. Repeatable.")] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A model-types.json: fail if a type that worked there does not.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Types at a time. Default: one a processor.")] = None,
) -> None:
    """Try every model type of the installed transformers, tiny and with random weights.

    An interrupted run goes on where it was, as long as the code is the same.
    """
    from fineq_reports.model_types.outcome import Outcome, regressions
    from fineq_reports.model_types.page import as_markdown
    from fineq_reports.model_types.sweep import all_types, sweep

    before = []
    if compare:
        try:
            before = [Outcome(**line) for line in json.loads(compare.read_text(encoding="utf-8"))["outcomes"]]
        except (OSError, ValueError, KeyError, TypeError):
            raise FineqError(f"{compare} is no file of this command: give a model-types.json") from None
    known = all_types()
    if unknown := sorted(set(only or ()) - set(known)):
        raise FineqError(f"transformers has no model type {unknown[0]!r} that writes text: check its spelling")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FineqError(f"cannot write {output}: {error.strerror or error}") from None
    with progress_display() as progress:
        outcomes = sweep(only or known, output, jobs, progress)
    write_text(output / f"{NAME}.md", as_markdown(outcomes))
    lines = {"outcomes": [outcome.as_dict() for outcome in outcomes]}
    write_text(output / f"{NAME}.json", json.dumps(lines, indent=1) + "\n")
    counts = {result: sum(o.result == result for o in outcomes) for result in sorted({o.result for o in outcomes})}
    typer.echo(", ".join(f"{count} {result}" for result, count in counts.items()))
    typer.echo(f"report: {output / f'{NAME}.md'}")
    if problems := regressions(before, outcomes):
        raise CheckFailed(f"{len(problems)} model types fail: {'; '.join(problems)}")
