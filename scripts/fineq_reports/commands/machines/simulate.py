"""Simulates a workload on an accelerator: cycles, energy, and where both go.

    fineq simulate llama-2-7b --seq 32,256,1024,2048 -o build/simulate

Writes layers.csv, result.json, summary.md, pictures, a trace for ui.perfetto.dev and report.html.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fineq.common.errors import FineqError

if TYPE_CHECKING:
    from rich.console import Console

    from fineq_reports.demo.page import Table


def simulate(
    workload: Annotated[
        str, typer.Argument(help="A known model, a model directory or config.json, a .csv or an .onnx file.")
    ],
    arch: Annotated[str, typer.Option(help="A named accelerator, or a YAML file.")] = "accelerator_64x64",
    phase: Annotated[str, typer.Option(help="prefill, or decode with a cache of --seq keys.")] = "prefill",
    seq: Annotated[str, typer.Option(help="Lengths, such as 32,256,2048. Default: 2048.")] = "",
    batch: Annotated[int, typer.Option(help="Sequences at once.")] = 1,
    generate: Annotated[int, typer.Option(help="Tokens to write for each sequence, after the prefill.")] = 0,
    steps: Annotated[
        str | None,
        typer.Option(help="packed, all, shares such as 0.12,0.77,0.11, or a measurement such as storyteller/paper."),
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, tile or exact.")] = "auto",
    budget: Annotated[float, typer.Option(min=0, help="Seconds that auto may spend on checking.")] = 2.0,
    attention: Annotated[
        str,
        typer.Option(
            help="engine: a unit beside the array; host: not counted; on the array: kv-fineq, with keys and values as "
            "FineQ codes, or digits, with exact ones in five planes."
        ),
    ] = "engine",
    writes: Annotated[str, typer.Option(help="What layers write: fixed, int8 or sums.")] = "fixed",
    trace: Annotated[int, typer.Option(min=0, help="Cycles of each shape in the trace; 0: no trace.")] = 20_000,
    energy: Annotated[bool, typer.Option(help="Work out the energy, from the synthesis reports.")] = True,
    results: Annotated[Path | None, typer.Option(help="Directory of measurements. Default: docs/results.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory for the files.")] = Path("build/simulate"),
) -> None:
    """Simulate a workload on an accelerator."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from fineq.common.places import check_directory
    from fineq_hw.interface.jobs import OutputFormat
    from fineq_reports.simulator.study_report import watch_layers, write_study
    from fineq_reports.simulator.tables import energy_table, facts, layer_table, pass_table
    from fineq_sim.perf.build import TwinError
    from fineq_sim.study.architecture import find_architecture
    from fineq_sim.study.results import results_directory
    from fineq_sim.study.run import run_study
    from fineq_sim.study.steps import find_steps
    from fineq_sim.workloads.find import find_workload

    formats = {each.name.lower(): each for each in OutputFormat}
    if writes not in formats:
        raise FineqError(f"unknown output {writes!r}: choose one of {', '.join(formats)}")
    check_directory(output)
    architecture = find_architecture(arch)
    work = find_workload(workload, phase, lengths(seq), batch, generate)
    packed = all(each.codes is not None for one in work.passes for each in one.linears)
    place = results_directory(results)
    source = find_steps(steps, architecture.config, place, packed)
    console = terminal()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("layers", total=None)

        def progress(done: int, total: int, name: str) -> None:
            bar.update(line, completed=done, total=total, description=name)

        study = run_study(
            work,
            architecture,
            source,
            results=place if energy else None,
            attention=attention,
            output=formats[writes],
            engine=engine,
            budget=budget,
            progress=progress,
        )
    command = "fineq " + " ".join(sys.argv[1:])
    for text in facts(study, command):
        console.print(text, markup=False)
    show(pass_table(study), console, "Passes")
    if study.energy_source is not None:
        show(energy_table(study), console, "Energy")
    show(layer_table(study, study.outcomes[0]), console, f"Layers: {study.outcomes[0].work.name}")
    watched = []
    if trace and not architecture.extrapolated:
        try:
            watched = watch_layers(study, trace)
        except TwinError as error:
            console.print(f"no trace: {error}", markup=False)
    output.mkdir(parents=True, exist_ok=True)
    for path in write_study(study, command, output, watched):
        console.print(f"wrote {path}", markup=False)


def lengths(text: str) -> list[int]:
    """Sequence lengths from their list.

    Raises:
        FineqError: one is no number.
    """
    parts = [part.strip() for part in text.split(",")] if text else []
    for part in parts:
        if not part.isdecimal():
            raise FineqError(f"--seq {text}: {part!r} is no length, give whole numbers with commas between them")
    return [int(part) for part in parts]


def terminal() -> Console:
    """Where tables are printed."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 190  # a pipe or a file has no edge
    return console


def show(table: Table, console: Console, title: str) -> None:
    """Print a table."""
    from rich.table import Table as Rich

    text = Rich(*table.headers, title=title, title_justify="left")
    for column in text.columns[1:]:
        column.justify = "right"
    for row in table.rows:
        text.add_row(*row)
    console.print(text)
    if table.note:
        console.print(table.note, markup=False)
