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


def synth(
    size: Annotated[str, typer.Option(help="array size, such as 64x64 or 16x16")] = "64x64",
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/synth"),
    clock_ns: Annotated[float, typer.Option(help="clock period in ns")] = CLOCK_NS,
    model: Annotated[Path | None, typer.Option(help="model whose weights and activations drive the netlists")] = None,
    gaussian: Annotated[bool, typer.Option(help="drive the netlists with seeded Gaussian rows")] = False,
    design: Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")] = None,
    activity_only: Annotated[bool, typer.Option(help="cycle counts for the activity data only")] = False,
    cache: Annotated[Path | None, typer.Option(help="directory that keeps mapped netlists by their content")] = None,
    strict: Annotated[bool, typer.Option(help="exit with 1 if a design misses the clock")] = False,
    redraw: Annotated[Path | None, typer.Option(help="JSON report whose picture is drawn again")] = None,
) -> None:
    """Area, timing and power of the FineQ arrays and the MAC baselines of one size."""
    import torch

    from fineq.models.locations import further_models
    from fineq_asic.activity.workload import data_sets, default_data, gaussian_data
    from fineq_asic.flows.synthesis import synthesise_size
    from fineq_reports.synthesis.report import redraw as redraw_report
    from fineq_reports.synthesis.report import write_report

    torch.set_num_threads(1)
    if redraw is not None:
        typer.echo(f"wrote {redraw_report(redraw, output)}")
        return
    models = [] if activity_only else [path.name for path in further_models()]
    data = gaussian_data() if gaussian else default_data(model)
    typer.echo(f"activity: {data.source}")
    sets = () if activity_only else data_sets(data)
    command = command_line(size, clock_ns, model, gaussian, design or [], activity_only, models)
    work = output / "work"
    run = synthesise_size(size, data, clock_ns, work, typer.echo, design, cache=cache, sets=sets, command=command)
    for path in write_report(run, output):
        typer.echo(f"wrote {path}")
    missed = [result for result in run.results if not result.timing.met]
    for result in missed:
        typer.echo(f"clock not met: {result.design.top}: {result.timing.verdict()}", err=True)
    if missed and strict:
        raise typer.Exit(1)


def command_line(
    size: str,
    clock_ns: float,
    model: Path | None,
    gaussian: bool,
    designs: list[str],
    activity_only: bool,
    models: list[str],
) -> str:
    """The command with all that decides what the report says: names of models, no directories."""
    from fineq.models.locations import MODELS_VARIABLE

    words = [f"{MODELS_VARIABLE}=<directory of {', '.join(models)}>"] if models else []
    words += ["fineq synth", f"--size {size}"]
    words += [f"--clock-ns {clock_ns:g}"] if clock_ns != CLOCK_NS else []
    words += ["--gaussian"] if gaussian else [f"--model {model.resolve().name}"] if model is not None else []
    words += [f"--design {name}" for name in designs]
    return " ".join(words + ["--activity-only"] * activity_only)
