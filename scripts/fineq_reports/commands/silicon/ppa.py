"""Redraws every hardware table and plot of docs/results in one run.

    fineq ppa --output build/ppa --results docs/results
    fineq ppa --step synth-16x16 --step equivalence     # only these

Synthesis, power check, equivalence, layout, throughput, pictures and blocks of the machine, accuracy against cycles;
ppa.md says which command drew what, with which tools. Netlists and verdicts are kept in <output>/cache by the hash of
everything they depend on, finished steps in <output>/done: a run that was stopped goes on where it was. The same
sources and tools give the same bytes. What needs a tool that is not there is left as it is, with a sentence.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError


def ppa(
    output: Annotated[Path, typer.Option(help="directory for reports, netlists and logs")] = Path("build/ppa"),
    results: Annotated[Path | None, typer.Option(help="copy the reports to this directory at the end")] = None,
    size: Annotated[list[str] | None, typer.Option(help="sizes to synthesise; default 16x16 and 64x64")] = None,
    proven: Annotated[list[str] | None, typer.Option(help="sizes to prove; default 5x7 and 64x64")] = None,
    limit: Annotated[float, typer.Option(help="seconds after which a proof is given up")] = 600,
    step: Annotated[list[str] | None, typer.Option(help="only this step (may be repeated)")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="run finished steps again")] = False,
) -> None:
    """Every hardware table and plot from one run."""
    from fineq.models.locations import MODELS_VARIABLE, further_models
    from fineq_reports import ppa_run

    start = time.monotonic()
    steps = ppa_run.steps(size or ppa_run.SIZES, proven or ppa_run.PROVEN, limit)
    unknown = sorted(set(step or []) - {each.name for each in steps})
    if unknown:
        raise FineqError(f"no step {unknown[0]!r}: choose from {', '.join(each.name for each in steps)}")
    steps = [each for each in steps if not step or each.name in step]
    if not further_models():
        typer.echo(f"{MODELS_VARIABLE} is not set: tables by model show the shipped model alone")
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    failed = ppa_run.run(steps, output, typer.echo, fresh)
    if results is not None:
        if any(each.name == "layout" and each.missing for each in steps):
            ppa_run.redraw_layouts(results, output, typer.echo)
        ppa_run.summary(steps, output)
        copied = ppa_run.publish(output, results, [each for each in steps if each.name in failed])
        typer.echo(f"{len(copied)} files copied, {(time.monotonic() - start) / 60:.1f} minutes")
    if failed:
        raise CheckFailed(f"{', '.join(failed)} failed: see above")
