"""Energy of arrays by event: steps, preload beats, idle and stalled cycles, rows without a token.

    fineq array-energy --size 16x16 --output build/synth-16x16

Writes array-energy-<size>.md and .json, which the simulator's energy model reads; netlists and logs stay in
<output>/work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq_asic.clock import CLOCK_NS


def array_energy(
    size: Annotated[str, typer.Option(help="array size, such as 64x64 or 16x16")] = "16x16",
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/array-energy"),
    clock_ns: Annotated[float, typer.Option(help="clock period in ns")] = CLOCK_NS,
    model: Annotated[Path | None, typer.Option(help="model whose weights and activations drive the netlists")] = None,
    gaussian: Annotated[bool, typer.Option(help="drive the netlists with seeded Gaussian rows")] = False,
    design: Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")] = None,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps netlists and results")] = None,
) -> None:
    """Energy of the arrays by event: step, preload beat, idle and stalled cycle, rows without a token."""
    import torch

    from fineq_asic.activity.workload import default_data, gaussian_data
    from fineq_asic.flows.array_energy import measure_size
    from fineq_reports.synthesis.events import write_report

    torch.set_num_threads(1)
    data = gaussian_data() if gaussian else default_data(model)
    typer.echo(f"activity: {data.source}")
    words = ["fineq array-energy", f"--size {size}"]
    words += [f"--clock-ns {clock_ns:g}"] if clock_ns != CLOCK_NS else []
    words += ["--gaussian"] if gaussian else [f"--model {model.resolve().name}"] if model is not None else []
    words += [f"--design {name}" for name in design or []]
    run = measure_size(
        size, data, clock_ns, output / "work", typer.echo, design or [], cache=cache, command=" ".join(words)
    )
    for path in write_report(run, output):
        typer.echo(f"wrote {path}")
