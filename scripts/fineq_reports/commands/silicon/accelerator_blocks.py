"""Maps the logic of a whole accelerator around its array to FreePDK45: area and slack of every block.

    fineq accelerator-blocks --output build/accelerator-blocks

Writes accelerator-blocks.md; netlists and logs stay in <output>/work. Exits with 1 if the clock is missed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed
from fineq_asic.clock import CLOCK_NS


def accelerator_blocks(
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/accelerator-blocks"),
    accelerator: Annotated[str, typer.Option(help="accelerator of fineq_hw.config")] = "accelerator_64x64",
    block: Annotated[str | None, typer.Option(help="only this block of it")] = None,
    clock_ns: Annotated[float, typer.Option(min=0.1, help="clock period in ns")] = CLOCK_NS,
) -> None:
    """Area and slack of the blocks around the array."""
    from fineq_asic.flows.machine_blocks import measure
    from fineq_reports.machine.blocks_report import write_report

    started = time.monotonic()

    def say(line: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    report = measure(accelerator, output / "work", block, clock_ns, say)
    typer.echo(f"wrote {write_report(report, output)}")
    if not report.timing.met:
        raise CheckFailed(report.timing.verdict())
