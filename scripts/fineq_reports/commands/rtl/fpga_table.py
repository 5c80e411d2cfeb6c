"""`fineq fpga-table`: what every encoding and the MAC arrays take of the boards' FPGAs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import FineqError


def fpga_table(
    board: Annotated[list[str] | None, typer.Option(help="Board whose FPGA to measure on; default: all.")] = None,
    results: Annotated[Path, typer.Option(help="Directory for the reports.")] = Path("docs/results"),
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory for the builds.")] = Path(
        "build/fpga-table"
    ),
) -> None:
    """Cores of every encoding and MAC arrays on FPGAs: LUTs, flip-flops, DSPs, clock, multiply-accumulates per LUT."""
    from fineq.common.files import write_bytes, write_text
    from fineq_reports.fpga.table import Row, mean_cycles, page, picture
    from fineq_system.boards.cores import TARGETS, cases, measure

    for name in board or TARGETS:
        if name not in TARGETS:
            raise FineqError(f"no open tools for a board {name!r}: choose from {', '.join(TARGETS)}")
    for name in board or TARGETS:
        target, rows = TARGETS[name], []
        todo = list(cases(target))
        for number, case in enumerate(todo, 1):
            found = measure(case, target, output / name / f"{number}")
            rows.append(Row(case, found, mean_cycles(case.config)))
            what = f"{found.luts} LUTs, {found.fmax:.1f} MHz" if found else "does not fit"
            typer.echo(f"{name} [{number}/{len(todo)}] {case.name}: {what}")
        write_bytes(results / f"fpga-{name}.png", picture(target, rows))
        command = f"fineq fpga-table --board {name}"
        write_text(results / f"fpga-{name}.md", page(target, rows, command, f"fpga-{name}.png"))
