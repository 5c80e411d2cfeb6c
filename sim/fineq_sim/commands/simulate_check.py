"""Holds the cycle-level simulator's engine `exact` against the verilated machines, counter by counter.

    fineq simulate-check --output docs/results

Writes simulator.md and simulator.json. Exits with 1 if a counter of a run differs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError


def simulate_check(
    output: Annotated[Path, typer.Option(help="Directory for the table.")] = Path("build/simulate-check"),
    machine: Annotated[list[str] | None, typer.Option(help="Accelerator; may be repeated. Default: all.")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Random runs a machine. Default: those of the table.")] = None,
) -> None:
    """Compare the simulator with the RTL."""
    from fineq_sim.perf.exactness_table import MACHINES, Row, cases_of, measure, rtl_key, twin_key, write_table

    started = time.monotonic()

    def say(line: str) -> None:
        typer.echo(f"{time.monotonic() - started:6.1f} s  {line}")

    machines = machine or list(MACHINES)
    for name in machines:
        if name not in MACHINES:
            raise FineqError(f"unknown accelerator {name!r}: choose one of {', '.join(MACHINES)}")
    rows: list[Row] = []
    for name in machines:
        found = measure(name, cases_of(name, runs), say)
        rows += found
        say(f"{name}: {sum(row.exact for row in found)} of {sum(row.runs for row in found)} runs exact")
    keys = {name: {"rtl": rtl_key(name), "twin": twin_key(name)} for name in machines}
    for path in write_table(rows, keys, output):
        say(f"wrote {path}")
    wrong = sum(row.runs - row.exact for row in rows)
    if wrong:
        raise CheckFailed(f"{wrong} of {sum(row.runs for row in rows)} runs of the simulator are not exact")
