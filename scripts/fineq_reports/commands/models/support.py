"""`fineq support`: what of FineQ works with which model type, tried stage by stage on tiny models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError
from fineq.common.files import write_text
from fineq.common.progress import progress_display


def support(
    output: Annotated[Path, typer.Option(help="Directory for support.md and .json.")] = Path("build/support"),
    only: Annotated[list[str] | None, typer.Option(help="Only this model type. Repeatable. Without: all.")] = None,
) -> None:
    """Try what works with each model type: quantize, load, evaluate, calibrate, simulate."""
    from fineq.common.places import check_directory
    from fineq_reports.model_types.outcome import WRONG
    from fineq_reports.model_types.support import support as attempt
    from fineq_reports.model_types.support_page import as_markdown
    from fineq_reports.model_types.sweep import all_types

    known = all_types()
    if unknown := sorted(set(only or ()) - set(known)):
        raise FineqError(f"transformers has no model type {unknown[0]!r} that writes text: check its spelling")
    check_directory(output)
    chosen, found = only or known, []
    with progress_display() as progress:
        for number, name in enumerate(chosen, start=1):
            found.append(attempt(name))
            progress(name, number, len(chosen))
    command = " ".join(["fineq support", *(f"--only {name}" for name in only or ())])
    text = json.dumps({"types": [each.as_dict() for each in found]}, indent=1) + "\n"
    typer.echo(f"wrote {write_text(output / 'support.md', as_markdown(found, command))}")
    typer.echo(f"wrote {write_text(output / 'support.json', text)}")
    wrong = [f"{each.model_type}, {stage}" for each in found for stage, what in each.stages.items() if what == WRONG]
    if wrong:
        raise CheckFailed(f"{len(wrong)} stages are wrong: {'; '.join(wrong)}")
