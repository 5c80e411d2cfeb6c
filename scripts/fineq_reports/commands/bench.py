"""`fineq bench`: measure speed and memory, print the table, write bench.md and bench.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.files import write_text


def bench(
    output: Annotated[Path, typer.Option(help="Directory for bench.md and bench.json.")] = Path("build/bench"),
    rows: Annotated[int, typer.Option(min=1, help="Rows of the weight matrix.")] = 4096,
    columns: Annotated[int, typer.Option(min=1, help="Columns of the weight matrix.")] = 11008,
    rounds: Annotated[int, typer.Option(min=1, help="How often each case runs.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="For torch and the kernels.")] = 2,
) -> None:
    """Measure speed and memory as ratios to something run beside it."""
    from fineq_reports.bench.cases import run_bench
    from fineq_reports.bench.page import as_markdown

    output.mkdir(parents=True, exist_ok=True)  # before the long work
    report = run_bench(rows, columns, rounds, threads)
    page = as_markdown(report)
    write_text(output / "bench.md", page)
    write_text(output / "bench.json", json.dumps(report.as_dict(), indent=1) + "\n")
    typer.echo(page)
