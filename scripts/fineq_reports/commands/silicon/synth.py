"""Maps the arrays of one size to FreePDK45 and reports area, timing, power and energy per MAC.

    fineq synth --size 16x16 --output build/synth-16x16
    fineq synth --redraw docs/results/synth-64x64.json --output docs/results

Writes synth-<size>.md, .json and .png; netlists and logs stay in <output>/work. `--redraw` draws the picture
of a JSON report again and does nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq_asic.clock import CLOCK_NS
from fineq_reports.commands.silicon.netlist_orders import (
    Cache,
    ClockNs,
    Designs,
    Gaussian,
    Model,
    Output,
    Size,
    make_order,
)


def synth(
    size: Size = "64x64",
    output: Output = Path("build/synth"),
    clock_ns: ClockNs = CLOCK_NS,
    model: Model = None,
    gaussian: Gaussian = False,
    design: Designs = None,
    activity_only: Annotated[bool, typer.Option(help="cycle counts for the activity data only")] = False,
    cache: Cache = None,
    strict: Annotated[bool, typer.Option(help="exit with 1 if a design misses the clock")] = False,
    redraw: Annotated[Path | None, typer.Option(help="JSON report whose picture is drawn again")] = None,
) -> None:
    """Area, timing and power of the FineQ arrays and the MAC baselines of one size."""
    from fineq.models.locations import further_models
    from fineq_asic.activity.workload import data_sets
    from fineq_asic.flows.synthesis import synthesise_size
    from fineq_reports.synthesis.report import redraw as redraw_report
    from fineq_reports.synthesis.report import write_report

    if redraw is not None:
        typer.echo(f"wrote {redraw_report(redraw, output)}")
        return
    models = [] if activity_only else [path.name for path in further_models()]
    options = ["--activity-only"] if activity_only else []
    order = make_order("synth", size, clock_ns, model, gaussian, design, cache, options=options, models=models)
    sets = () if activity_only else data_sets(order.data)
    run = synthesise_size(order, output / "work", typer.echo, sets)
    for path in write_report(run, output):
        typer.echo(f"wrote {path}")
    missed = [result for result in run.results if not result.timing.met]
    for result in missed:
        typer.echo(f"clock not met: {result.design.top}: {result.timing.verdict()}", err=True)
    if missed and strict:
        raise typer.Exit(1)
