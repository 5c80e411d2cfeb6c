"""Maps the logic of a whole accelerator around its array to FreePDK45: area and slack of every block.

    fineq accelerator-blocks --output build/accelerator-blocks

Writes accelerator-blocks.md; netlists and logs stay in <output>/work. Exits with 1 if the clock is missed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.tools import ToolError
from fineq_asic.errors import SynthesisError
from fineq_asic.flows.machine_blocks import measure, write_report


def main(
    output: Annotated[Path, typer.Option(help="directory for the report")] = Path("build/accelerator-blocks"),
    accelerator: Annotated[str, typer.Option(help="accelerator of fineq_hw.config")] = "accelerator_64x64",
    block: Annotated[str | None, typer.Option(help="only this block of it")] = None,
    clock_ns: Annotated[float, typer.Option(min=0.1, help="clock period in ns")] = 2.5,
) -> None:
    """Area and slack of the blocks around the array."""
    started = time.monotonic()
    try:
        report = measure(
            accelerator,
            output / "work",
            block,
            clock_ns,
            lambda line: typer.echo(f"{time.monotonic() - started:6.1f} s  {line}"),
        )
        typer.echo(f"wrote {write_report(report, output)}")
    except (SynthesisError, ToolError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"error: cannot write to {output}: {error.strerror}", err=True)
        sys.exit(1)
    if not report.timing.met:
        typer.echo(f"error: {report.timing.verdict()}", err=True)
        sys.exit(1)
