"""Energy of arrays by event: steps, preload beats, idle and stalled cycles, rows without a token.

    fineq array-energy --size 16x16 --output build/synth-16x16

Writes array-energy-<size>.md and .json, which the simulator's energy model reads; netlists and logs stay in
<output>/work.
"""

from __future__ import annotations

from pathlib import Path

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


def array_energy(
    size: Size = "16x16",
    output: Output = Path("build/array-energy"),
    clock_ns: ClockNs = CLOCK_NS,
    model: Model = None,
    gaussian: Gaussian = False,
    design: Designs = None,
    cache: Cache = None,
) -> None:
    """Energy of the arrays by event: step, preload beat, idle and stalled cycle, rows without a token."""
    from fineq_asic.flows.array_energy import measure_size
    from fineq_reports.synthesis.events import write_report

    order = make_order("array-energy", size, clock_ns, model, gaussian, design, cache)
    run = measure_size(order, output / "work", typer.echo)
    for path in write_report(run, output):
        typer.echo(f"wrote {path}")
