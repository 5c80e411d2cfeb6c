"""`fineq redraw`: pictures of docs/results again, from the data that stand beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def redraw(
    names: Annotated[list[str] | None, typer.Argument(help="Pictures, without .png. Without: all that can be.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory for the pictures.")] = Path("build/redraw"),
    results: Annotated[Path | None, typer.Option(help="Directory of measurements. Default: docs/results.")] = None,
) -> None:
    """Draw pictures of the results again, from their tables and without measuring anything."""
    from fineq.common.places import check_directory
    from fineq_reports.redraw import PICTURES
    from fineq_reports.redraw import redraw as make
    from fineq_sim.study.results import results_directory

    check_directory(output)
    for name in names or PICTURES:
        typer.echo(f"wrote {make(name, results_directory(results), output)}")
