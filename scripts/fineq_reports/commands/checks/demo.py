"""The whole idea of FineQ once, on a real language model.

    fineq demo --output build/demo [--model DIR]

Quantizes the model, runs a whole layer through the verilated array, synthesises a small array beside MAC
baselines, prints the tables and writes report.html.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.common.errors import CheckFailed
from fineq_asic.clock import CLOCK_NS

if TYPE_CHECKING:
    from rich.console import Console

    from fineq_reports.demo.page import Section

SYNTHESIS_SIZE = "16x16"
SYNTHESIS_TOPS = ("fineq_16x16_packed", "fineq_16x16_column_packed", "mac8x8_16x16_broadcast", "mac8x3_16x16_broadcast")


def show(section: Section, console: Console) -> None:
    """Print a section's text and its first table."""
    from rich.table import Table

    console.print(f"\n[bold]{section.title}[/bold]")
    for paragraph in section.paragraphs:
        console.print(paragraph)
    for table in section.tables[:1]:
        text = Table(*table.headers)
        for column in text.columns[1:]:
            column.justify = "right"
        for row in table.rows:
            text.add_row(*row)
        console.print(text)
        if table.note:
            console.print(table.note)


def demo(
    output: Annotated[Path, typer.Option(help="directory for the report and the golden vectors")] = Path("build/demo"),
    model: Annotated[Path | None, typer.Option(help="LLaMA-style model directory; default: the shipped model")] = None,
    text: Annotated[Path | None, typer.Option(help="evaluation text; default: the shipped one")] = None,
    layer: Annotated[str | None, typer.Option(help="layer for the array; default: the largest")] = None,
    config: Annotated[str, typer.Option(help="array that computes the layer")] = "fineq_64x64",
) -> None:
    """Quantize, simulate, synthesise, report."""
    import torch
    from rich.console import Console

    from fineq.evaluation.perplexity import read_text, shipped_text_path
    from fineq.models.directory import check_model_directory
    from fineq.models.locations import shipped_model_path
    from fineq_asic.activity.workload import default_data
    from fineq_asic.flows.sizes import Order
    from fineq_asic.flows.synthesis import synthesise_size
    from fineq_reports.demo import accuracy, hardware
    from fineq_reports.demo.page import write_page
    from fineq_reports.demo.sections import accuracy_section, hardware_section, synthesis_section

    torch.set_num_threads(1)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150  # a pipe or a file has no edge
    start = time.monotonic()

    def progress(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - start:6.1f} s  {line}[/dim]")

    model = shipped_model_path() if model is None else model
    check_model_directory(model)
    evaluation_text = read_text(shipped_text_path() if text is None else text)
    output.mkdir(parents=True, exist_ok=True)

    results = accuracy.measure(model, evaluation_text, progress)
    sections = [accuracy_section(model.resolve().name, evaluation_text.name, results)]
    show(sections[-1], console)

    layer = hardware.largest_layer(model) if layer is None else layer
    progress(f"{layer} on {config}: building the simulation and running it")
    run = hardware.run(model, evaluation_text, layer, output / "vectors", config=config)
    sections.append(hardware_section(run))
    show(sections[-1], console)

    data = default_data(model)
    order = Order(SYNTHESIS_SIZE, CLOCK_NS, data, SYNTHESIS_TOPS, "fineq demo")
    synthesis = synthesise_size(order, output / "synthesis", progress)
    sections.append(synthesis_section(synthesis))
    show(sections[-1], console)

    lead = (
        "Weights of a language model in 7 bytes per 24, computed bit-exactly by an array without multipliers, "
        "mapped to a 45 nm library. Every figure on this page was made by the command that wrote it."
    )
    write_page(output / "report.html", "FineQ from tensor to silicon", lead, sections)
    progress(f"report: {output / 'report.html'}")
    if run.difference:
        raise CheckFailed("the array's results differ from the integer reference")
