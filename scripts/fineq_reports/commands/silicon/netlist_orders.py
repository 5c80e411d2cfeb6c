"""What the commands share that run the netlists of one size on data: their options, and the order they make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq_asic.clock import CLOCK_NS

if TYPE_CHECKING:
    from fineq_asic.flows.sizes import Order

Size = Annotated[str, typer.Option(help="array size, such as 64x64 or 16x16")]
Output = Annotated[Path, typer.Option(help="directory for the report")]
ClockNs = Annotated[float, typer.Option(help="clock period in ns")]
Model = Annotated[Path | None, typer.Option(help="model whose weights and activations drive the netlists")]
Gaussian = Annotated[bool, typer.Option(help="drive the netlists with seeded Gaussian rows")]
Designs = Annotated[list[str] | None, typer.Option(help="only this design (may be repeated)")]
Cache = Annotated[Path | None, typer.Option(help="directory that keeps netlists, and what was found of them")]


def make_order(
    command: str,
    size: str,
    clock_ns: float,
    model: Path | None,
    gaussian: bool,
    designs: Sequence[str] | None,
    cache: Path | None,
    *,
    options: Sequence[str] = (),
    models: Sequence[str] = (),
) -> Order:
    """The order of a command, after the data have been named on the terminal.

    Args:
        command: name of the sub-command.
        size, clock_ns, model, gaussian, designs, cache: its options.
        options: further options that decide what the report says, as they are written.
        models: names of further models that the command reads.

    Raises:
        FineqError: the model cannot be used.
    """
    import torch

    from fineq_asic.activity.workload import default_data, gaussian_data
    from fineq_asic.flows.sizes import Order

    torch.set_num_threads(1)  # the same activity on every machine
    data = gaussian_data() if gaussian else default_data(model)
    typer.echo(f"activity: {data.source}")
    tops = tuple(designs or ())
    line = command_line(command, size, clock_ns, model, gaussian, tops, options=options, models=models)
    return Order(size, clock_ns, data, tops, line, cache)


def command_line(
    command: str,
    size: str,
    clock_ns: float,
    model: Path | None,
    gaussian: bool,
    designs: Sequence[str],
    *,
    options: Sequence[str] = (),
    models: Sequence[str] = (),
) -> str:
    """The command with all that decides what the report says: names of models, no directories."""
    from fineq.models.locations import MODELS_VARIABLE

    words = [f"{MODELS_VARIABLE}=<directory of {', '.join(models)}>"] if models else []
    words += [f"fineq {command}", f"--size {size}"]
    words += [f"--clock-ns {clock_ns:g}"] if clock_ns != CLOCK_NS else []
    words += ["--gaussian"] if gaussian else [f"--model {model.resolve().name}"] if model is not None else []
    words += [f"--design {name}" for name in designs]
    return " ".join([*words, *options])
