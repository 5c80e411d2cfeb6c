"""`fineq driver-c`: the driver for bare-metal C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def driver_c(
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory for the C files.")] = Path("build/driver-c"),
) -> None:
    """Write the C99 driver: registers, descriptors and error codes from the RTL's description, and a small library."""
    from fineq_hw.driver_c.files import write_driver

    for path in write_driver(output):
        lines = path.read_text(encoding="utf-8").count("\n")
        typer.echo(f"{path}  {lines} lines")
