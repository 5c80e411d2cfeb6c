"""Measures how busy the array of the whole accelerator is, beside the MAC accelerators.

    fineq throughput

Runs a layer of 512 x 512 x 512 on the verilated machines; writes throughput.md, .json and .png. Exits with 1 if the
FineQ array is busy less than 90% of the cycles.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed
from fineq_reports.machine.layer import MeasuredLayer


def throughput(
    report: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/throughput"),
    tokens: Annotated[int, typer.Option(min=1, help="M")] = MeasuredLayer.tokens,
    channels: Annotated[int, typer.Option(min=1, help="N")] = MeasuredLayer.channels,
    inner: Annotated[int, typer.Option(min=1, help="K")] = MeasuredLayer.inner,
    recipe: Annotated[str, typer.Option(help="recipe of the quantizer: {recipes}")] = MeasuredLayer.recipe,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="of weights and activations")] = MeasuredLayer.seed,
    latency: Annotated[int, typer.Option(min=1, help="of the memory, cycles to the first word")] = 1,
    machine: Annotated[list[str] | None, typer.Option(help="accelerator; may be repeated")] = None,
) -> None:
    """Busy share of the array, by the counters."""
    import torch

    from fineq_reports.machine.throughput import MACHINES, OUTPUTS, TARGET, as_markdown, measure, write_report

    torch.set_num_threads(1)
    started = time.monotonic()

    def say(line: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    layer = MeasuredLayer(tokens, channels, inner, recipe, seed)
    measurements = measure(layer, machine or MACHINES, OUTPUTS, latency, say)
    typer.echo("\n" + as_markdown(layer, measurements, latency, "throughput.png"))
    for path in write_report(layer, measurements, latency, report):
        say(f"wrote {path}")
    for each in measurements:
        if each.machine == MACHINES[0] and each.output == OUTPUTS[0] and each.busy < TARGET:
            raise CheckFailed(f"the array of {each.machine} is busy {each.busy:.1%} of the cycles")
