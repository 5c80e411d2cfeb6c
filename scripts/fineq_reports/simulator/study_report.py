"""Everything that `fineq simulate` writes of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fineq.common import markdown
from fineq.common.files import write_bytes, write_text
from fineq_hw.interface.jobs import OutputFormat
from fineq_reports.demo.page import Plot, Section, Table, write_page
from fineq_reports.simulator import charts
from fineq_reports.simulator.tables import energy_table, facts, layer_table, pass_table
from fineq_sim.perf.jobs import place_jobs
from fineq_sim.study.outcome import LINEAR, Study
from fineq_sim.study.record import layers_csv, result_text
from fineq_sim.tracing.perfetto import trace_text
from fineq_sim.tracing.watch import ROOM, Watched, watch

TITLE = "FineQ simulated"


def watch_layers(study: Study, cycles: int) -> list[tuple[str, Watched]]:
    """Each distinct shape of the first pass on the twin, for so many cycles each; all keep within a trace's room.

    Raises:
        TwinError: there is no compiler.
    """
    outcome, config = study.outcomes[0], study.architecture.config
    products = {each.name: each for each in outcome.work.linears}
    layers = {layer.shape: layer for layer in reversed(outcome.layers) if layer.kind == LINEAR and layer.parts == 1}
    found = []
    for shape, layer in reversed(layers.items()):
        jobs = place_jobs(config, [(*shape, OutputFormat[study.output.upper()])])
        steps = study.steps.table(config, products[layer.name], outcome.bound)
        seen = watch(config, jobs, [steps], study.architecture.memory, cycles, ROOM // len(layers))
        found.append((f"{layer.name} {' x '.join(map(str, shape))}, {outcome.work.name}", seen))
    return found


def write_study(study: Study, command: str, directory: Path, watched: Sequence[tuple[str, Watched]]) -> list[Path]:
    """Write the files of a study; each appears whole or not at all."""
    pictures = {
        "roofline": (charts.roofline(study), "Roofline: what each layer reaches, and what array and bus allow.")
    }
    if study.energy_source is not None:
        pictures["energy"] = (charts.energy(study), "Energy by component, once for each published DRAM figure.")
    if watched:
        pictures["timeline"] = (charts.timeline(*watched[0]), "What the stages do at the beginning of a layer.")
    written = [
        write_text(directory / "layers.csv", layers_csv(study)),
        write_text(directory / "result.json", result_text(study, command)),
        write_text(directory / "summary.md", summary(study, command, list(pictures))),
    ]
    written += [write_bytes(directory / f"{name}.png", png) for name, (png, _) in pictures.items()]
    if watched:
        about = {"machine": study.architecture.title, "workload": study.workload.name}
        written.append(write_text(directory / "trace.json", trace_text(watched, about)))
    plots = [Plot(png, caption) for png, caption in pictures.values()]
    page = directory / "report.html"
    sections = [
        Section("Passes", facts(study, command), [pass_table(study)]),
        *([Section("Energy", [], [energy_table(study)])] if study.energy_source else []),
        Section("Pictures", [], [], plots),
        *(
            Section(f"Layers: {each.work.name}, steps {each.bound.name}", [], [layer_table(study, each)])
            for each in study.outcomes
        ),
    ]
    write_page(
        page, f"{TITLE}: {study.workload.name}", f"{study.workload.name} on {study.architecture.title}", sections
    )
    return [*written, page]


def summary(study: Study, command: str, pictures: Sequence[str]) -> str:
    """summary.md."""
    parts = [f"# {study.workload.name} on {study.architecture.title}", "", *_paragraphs(facts(study, command))]
    parts += [_markdown(pass_table(study))]
    if study.energy_source is not None:
        parts += ["## Energy", "", _markdown(energy_table(study))]
    for name in pictures:
        parts += [f"![{name}]({name}.png)", ""]
    for outcome in study.outcomes:
        parts += [f"## {outcome.work.name}, steps {outcome.bound.name}", "", _markdown(layer_table(study, outcome))]
    return "\n".join(parts).rstrip() + "\n"


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def _markdown(table: Table) -> str:
    note = f"\n{table.note}\n" if table.note else ""
    return markdown.table(table.headers, table.rows, "lr") + note
