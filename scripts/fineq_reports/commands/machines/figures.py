"""The paper's evaluation regenerated: Table III, Fig. 8 and Fig. 9, the paper beside ours.

fineq figures --output docs/results
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer


def figures(
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the page.")] = Path("build/figures"),
    size: Annotated[str, typer.Option(help="Of the arrays, such as 64x64 or 16x16.")] = "64x64",
    results: Annotated[Path | None, typer.Option(help="Directory of measurements. Default: docs/results.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Model of Fig. 9; may be repeated.")] = None,
    seq: Annotated[str, typer.Option(help="Lengths of Fig. 9.")] = "32,256,1024,2048",
    engine: Annotated[str, typer.Option(help="auto, tile or exact.")] = "auto",
    budget: Annotated[float, typer.Option(min=0, help="Seconds that auto may spend on checking each study.")] = 0.5,
) -> None:
    """Regenerate the paper's Table III, Fig. 8 and Fig. 9 beside ours."""
    from fineq.common.places import check_directory
    from fineq_reports.commands.machines.simulate import lengths
    from fineq_reports.simulator.evaluation import MODELS, evaluate
    from fineq_reports.simulator.evaluation_page import write_evaluation
    from fineq_sim.study.results import results_directory

    started = time.monotonic()

    def say(line: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    check_directory(output)
    found = evaluate(results_directory(results), size, model or MODELS, lengths(seq), engine, budget, say)
    for line in found.missing:
        say(line)
    typer.echo(found.paper_line)
    for path in write_evaluation(found, "fineq " + " ".join(sys.argv[1:]), output):
        say(f"wrote {path}")
