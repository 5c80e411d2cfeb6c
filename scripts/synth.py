"""Maps the arrays of one size to FreePDK45 and reports area, timing, power and energy per MAC.

    python scripts/synth.py --size 16x16 --output build/synth-16x16

Writes synth-<size>.md, .json and .png; netlists and logs stay in <output>/work.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from fineq.errors import FineqError
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.report import write_report
from fineq_hw.tools import ToolError
from fineq_sim.synthesis import synthesise_size
from fineq_sim.tiles import data_sets, default_data, gaussian_data


def main(
    size: Annotated[str, typer.Option(help="array size, such as 64x64 or 16x16")] = "64x64",
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/synth"),
    clock_ns: Annotated[float, typer.Option(help="clock period in ns")] = 2.5,
    model: Annotated[Path | None, typer.Option(help="model whose weights and activations drive the netlists")] = None,
    gaussian: Annotated[bool, typer.Option(help="drive the netlists with seeded Gaussian rows")] = False,
    design: Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")] = None,
    activity_only: Annotated[bool, typer.Option(help="cycle counts for the activity data only")] = False,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps mapped netlists by their content")] = None,
    strict: Annotated[bool, typer.Option(help="exit with 1 if a design misses the clock")] = False,
) -> None:
    """Area, timing and power of the FineQ arrays and the MAC baselines of one size."""
    torch.set_num_threads(1)
    try:
        data = gaussian_data() if gaussian else default_data(model)
        typer.echo(f"activity: {data.source}")
        sets = () if activity_only else data_sets(data)
        run = synthesise_size(size, data, clock_ns, output / "work", typer.echo, design, cache=cache, sets=sets)
        for path in write_report(run, output):
            typer.echo(f"wrote {path}")
    except (SynthesisError, ToolError, FineqError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    missed = [result for result in run.results if not result.timing.met]
    for result in missed:
        typer.echo(f"clock not met: {result.design.top}: {result.timing.verdict()}", err=True)
    if missed and strict:
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
