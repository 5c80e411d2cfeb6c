"""`fineq merge`: the parts of `fineq quantize --part` into a quantized model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.commands.notes import warn
from fineq.commands.quantize import print_kept, print_results
from fineq.common.progress import progress_display


def merge(
    model: Annotated[str, typer.Argument(help="The model directory that the parts were made of, or its hub id.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to make: the -o of the parts.")],
    check: Annotated[
        bool,
        typer.Option(
            "--check/--no-check", help="Measure the loss of the model before and after on a few hundred tokens of text."
        ),
    ] = True,
    text: Annotated[Path | None, typer.Option(help="Text for the check: .txt, .raw, .jsonl. Without: shipped.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted merge.")] = False,
) -> None:
    """Put the parts of a model together that `fineq quantize --part` has made.

    The result has the bytes that one run of `fineq quantize` would have written. Recipe and options are those of the
    parts. Every byte of the parts is checked; they are removed when the output is complete.
    """
    from fineq.pipeline import merge_job

    made = merge_job(model, output, check, text, resume, progress_display)
    print_results(made.layers)
    print_kept(made.plan)
    if made.check:
        typer.echo(made.check.sentence())
    typer.echo(f"written to {output}")
    for warning in made.warnings():
        warn(warning)
