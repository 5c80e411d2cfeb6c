"""`fineq bench`: measure speed and memory, print the tables, write pages and figures."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import FineqError
from fineq.common.files import write_text


class Part(StrEnum):
    """What can be measured alone: quantizing and layers as ratios, products beside torch and ggml, or simulators."""

    packing = "packing"
    products = "products"
    simulators = "simulators"


def bench(
    output: Annotated[Path, typer.Option(help="Directory for pages (.md) and figures (.json).")] = Path("build/bench"),
    only: Annotated[
        Part | None,
        typer.Option(
            help="packing: quantize, unpack, layers, memory. products: beside torch and ggml. simulators: the "
            "cycle-level simulator beside SCALE-Sim."
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the weight matrix (packing).")] = 4096,
    columns: Annotated[int, typer.Option(min=1, help="Columns of the weight matrix (packing).")] = 11008,
    rounds: Annotated[int, typer.Option(min=1, help="How often each case runs.")] = 9,
    threads: Annotated[
        int | None, typer.Option(min=1, help="For torch and the kernels. Without: 2 for packing, 1 for products.")
    ] = None,
    ggml: Annotated[
        Path | None,
        typer.Option(
            envvar="FINEQ_GGML", help="Directory of ggml's libraries, to be measured too (scripts/build_ggml.py)."
        ),
    ] = None,
    scale_sim: Annotated[
        Path | None,
        typer.Option(envvar="FINEQ_SCALE_SIM", help="Python of an environment with SCALE-Sim, to be measured too."),
    ] = None,
    model: Annotated[bool, typer.Option("--model/--no-model", help="A whole model too (products).")] = True,
) -> None:
    """Measure speed and memory as ratios to something run beside it."""
    from fineq_reports.bench import page, product_page
    from fineq_reports.bench.cases import LARGE_ROWS, run_bench
    from fineq_reports.bench.products import run_product_bench
    from fineq_reports.bench.simulators import run_simulator_bench

    if ggml is not None and not ggml.is_dir():
        raise FineqError(f"{ggml} is not a directory: give --ggml the folder that scripts/build_ggml.py names")
    output.mkdir(parents=True, exist_ok=True)  # before the long work
    pages = []
    if only in (None, Part.packing):
        report = run_bench(rows, columns, rounds, threads or 2)
        pages.append(_write(output / "bench", page.as_markdown(report), report.as_dict()))
    if only in (None, Part.products):
        products = run_product_bench(rounds, threads or 1, ggml, with_model=model)
        pages.append(_write(output / "bench-products", product_page.as_markdown(products), products.as_dict()))
    if only is Part.simulators or (only is None and scale_sim is not None):
        simulators = run_simulator_bench(scale_sim, small=rows < LARGE_ROWS)
        pages.append(_write(output / "bench-simulators", page.simulators_markdown(simulators), simulators.as_dict()))
    typer.echo("\n".join(pages))


def _write(place: Path, page: str, figures: dict[str, object]) -> str:
    write_text(place.with_name(place.name + ".md"), page)
    write_text(place.with_name(place.name + ".json"), json.dumps(figures, indent=1) + "\n")
    return page
