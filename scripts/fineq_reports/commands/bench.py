"""`make bench`: measure speed and memory, print the table, write bench.md and bench.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from fineq_reports.bench import as_markdown, run_bench


def main(
    output: Annotated[Path, typer.Option(help="Directory for bench.md and bench.json.")],
    rows: Annotated[int, typer.Option(min=1, help="Rows of the weight matrix.")] = 4096,
    columns: Annotated[int, typer.Option(min=1, help="Columns of the weight matrix.")] = 11008,
    rounds: Annotated[int, typer.Option(min=1, help="How often each case runs.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="For torch and the kernels.")] = 2,
) -> None:
    """Measure speed and memory as ratios to something run beside it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        typer.echo(f"error: cannot make the directory {output}: {error.strerror}", err=True)
        raise typer.Exit(2) from error
    report = run_bench(rows, columns, rounds, threads)
    page = as_markdown(report)
    for name, content in {"bench.md": page, "bench.json": json.dumps(report.as_dict(), indent=1) + "\n"}.items():
        aside = output / f".{name}"
        aside.write_text(content)
        os.replace(aside, output / name)
    typer.echo(page)
