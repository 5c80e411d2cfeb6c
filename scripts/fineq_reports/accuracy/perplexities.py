"""Tables I and II and Fig. 1 of the paper: perplexity by method, by window length, and by bits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.models.directory import check_model_directory
from fineq_reports.accuracy.cells import Cell, Plan, measure_cells
from fineq_reports.accuracy.tables import Report, Section, cell_records, number

TABLE_METHODS = ("none", "rtn", "uniform", "gptq", "gptq-best", "pb-llm", "owq", "paper", "mse", "calibrated")
"""The paper's seven rows, GPTQ at its best, and FineQ's better recipes."""

FIGURE_METHODS = {
    "RTN": ("rtn", "rtn-3bit", "rtn-4bit"),
    "GPTQ": ("gptq", "gptq-3bit", "gptq-4bit"),
    "PB-LLM": ("pb-llm-5%", "pb-llm", "pb-llm-20%", "pb-llm-30%"),
    "OWQ": ("owq", "owq-3.25bit", "owq-4.25bit"),
    "FineQ, recipe paper": ("paper",),
    "FineQ, recipe mse": ("mse",),
    "FineQ, recipe calibrated": ("calibrated",),
}
"""The lines of Fig. 1, each from few to many bits. FineQ has one width."""

TABLE_2_LENGTHS = (32, 256, 1024)
PAPER_NOTE = "Columns marked as the paper's are ratios of the paper's own figures to its FP16, on LLaMA-2 models."
RATIO = "ratio"
CODE_FILES = ("paper_accuracy.json",)


@cache
def paper_figures() -> dict[str, Any]:
    """The paper's own Tables I and II (paper_accuracy.json)."""
    return json.loads((Path(__file__).with_name("paper_accuracy.json")).read_text(encoding="utf-8"))


def paper_ratios(table: str, method: str, columns: list[str]) -> list[str]:
    """The paper's perplexities over its FP16 ones, as text; '-' for methods that it does not have."""
    content = paper_figures()[table]
    if method not in content:
        return ["-"] * len(columns)
    places = [content["columns"].index(column) for column in columns]
    return [number(content[method][place] / content["none"][place], 3) for place in places]


@dataclass(frozen=True)
class Results:
    """Cells by what they are."""

    cells: list[Cell]

    def find(self, model: str, method: str, text: str, length: int | None = None) -> Cell:
        """The cell; `length` None: the only one."""
        for cell in self.cells:
            if (cell.model, cell.method.name, cell.text) == (model, method, text):
                if length in (None, cell.sequence_length):
                    return cell
        raise KeyError((model, method, text, length))

    def ratio(self, cell: Cell) -> float:
        """Perplexity over that of the model that is not quantized."""
        return cell.perplexity / self.find(cell.model, "none", cell.text, cell.sequence_length).perplexity

    def each(self, of: Callable[[Cell], Any]) -> list[Any]:
        """The different values of something, in order."""
        return list(dict.fromkeys(of(cell) for cell in self.cells))

    @property
    def models(self) -> list[str]:
        return self.each(lambda cell: cell.model)

    @property
    def texts(self) -> list[str]:
        return self.each(lambda cell: cell.text)

    @property
    def methods(self) -> list[str]:
        return self.each(lambda cell: cell.method.name)


def _pictures() -> ModuleType:
    """The module that draws, loaded when something is drawn: matplotlib takes a while."""
    from fineq_reports.accuracy import pictures

    return pictures


def protocol_notes(results: Results, plan: Plan) -> list[str]:
    """What decides the values, in words."""
    first = results.cells[0].record
    notes = [
        f"Windows of {', '.join(str(n) for n in results.each(lambda cell: cell.sequence_length))} tokens, "
        f"{_windows(plan)}, "
        f"bos {first['result']['bos']}, {first['result']['dtype']}. Weights are quantized, activations are not; "
        "embeddings, norms and the output head stay. 'Ratio' is to the model that is not quantized."
    ]
    fitted = sorted({cell.record["calibration"] for cell in results.cells if cell.record["calibration"]})
    if fitted:
        looked = f", {plan.calibration_windows} windows of it" if plan.calibration_windows else ""
        notes.append(
            f"All methods that look at inputs were given the same calibration text: {', '.join(fitted)}{looked}."
        )
    return notes


def _windows(plan: Plan) -> str:
    if isinstance(plan.max_windows, tuple):
        parts = zip(plan.max_windows, plan.texts, strict=True)
        return "the first " + " and ".join(f"{count} of {text.name}" for count, text in parts)
    return f"{'all' if plan.max_windows is None else f'the first {plan.max_windows}'} of each text"


def bits_section(results: Results) -> Section:
    """True bits per weight with scales, zero points, column numbers and padding."""
    rows = []
    for method in results.methods:
        cells = [results.find(model, method, results.texts[0]) for model in results.models]
        if cells[0].bits is not None:
            errors = [number(cell.record["normalised_error"], 3) for cell in cells]
            bits = [f"{cell.bits:.3f}" for cell in cells]
            values = [value for pair in zip(bits, errors, strict=True) for value in pair]
            rows.append([cells[0].method.title, _nominal(cells[0]), *values])
    header = ["method", "bits", *(f"{model}{what}" for model in results.models for what in ("", ", error"))]
    return Section("Bits per weight with scales and padding, and normalised squared error of the weights", header, rows)


def _nominal(cell: Cell) -> str:
    return "32" if cell.method.nominal_bits is None else f"{cell.method.nominal_bits:.2f}"


def table_1(plan: Plan, progress: Progress | None = None) -> Report:
    """Table I: methods by models and texts."""
    results = Results(measure_cells(plan, progress))
    marked = ["7B Wiki", "7B C4"]
    sections = []
    for text in results.texts:
        header = ["method", "bits", *(f"{model}{what}" for model in results.models for what in ("", f", {RATIO}"))]
        rows = []
        for method in results.methods:
            cells = [results.find(model, method, text) for model in results.models]
            values = [value for cell in cells for value in (number(cell.perplexity), number(results.ratio(cell), 3))]
            rows.append([cells[0].method.title, _nominal(cells[0]), *values, *paper_ratios("table_1", method, marked)])
        header += [f"paper, {name}, {RATIO}" for name in marked]
        sections.append(Section(f"Perplexity, {text}", header, rows))
    sections.append(bits_section(results))
    return Report(
        "accuracy-table-1", "Perplexity by method (the paper's Table I)", sections,
        [*protocol_notes(results, plan), PAPER_NOTE],
        cell_records(results.cells), lambda figure: _pictures().draw_table_1(figure, results),
    )  # fmt: skip


def table_2(plan: Plan, progress: Progress | None = None) -> Report:
    """Table II: methods by window length; lengths beyond a model's context become its context."""
    cells = []
    for path in plan.models:
        longest: int = check_model_directory(path).get("max_position_embeddings") or max(TABLE_2_LENGTHS)
        shortened = tuple(dict.fromkeys(min(length or longest, longest) for length in plan.sequence_lengths))
        cells += measure_cells(replace(plan, models=[path], sequence_lengths=shortened), progress)
    results = Results(cells)
    marked = [f"{length} Wiki" for length in TABLE_2_LENGTHS]
    sections = []
    for model in results.models:
        lengths = list(dict.fromkeys(cell.sequence_length for cell in cells if cell.model == model))
        for text in results.texts:
            rows = []
            for method in results.methods:
                row = [results.find(model, method, text, length) for length in lengths]
                values = [value for cell in row for value in (number(cell.perplexity), number(results.ratio(cell), 3))]
                rows.append([row[0].method.title, _nominal(row[0]), *values, *paper_ratios("table_2", method, marked)])
            header = ["method", "bits", *(f"{length}{what}" for length in lengths for what in ("", f", {RATIO}"))]
            header += [f"paper, {name}, {RATIO}" for name in marked]
            sections.append(Section(f"Perplexity by window length, {model}, {text}", header, rows))
    return Report(
        "accuracy-table-2", "Perplexity by window length (the paper's Table II)", sections,
        [*protocol_notes(results, plan), PAPER_NOTE], cell_records(cells),
        lambda figure: _pictures().draw_table_2(figure, results),
    )  # fmt: skip


def figure_1(plan: Plan, progress: Progress | None = None) -> Report:
    """Fig. 1: perplexity by bits on each model, on the first text of the plan."""
    if len(plan.texts) != 1:
        raise FineqError("figure 1 shows one text: give one --text")
    results = Results(measure_cells(plan, progress))
    text = results.texts[0]
    header = ["method", "bits", *(f"{m}{what}" for m in results.models for what in ("", f", {RATIO}", ", true bits"))]
    rows = []
    for method in results.methods:
        cells = [results.find(model, method, text) for model in results.models]
        values = [value for cell in cells for value in
                  (number(cell.perplexity), number(results.ratio(cell), 3), number(cell.bits, 4))]  # fmt: skip
        rows.append([cells[0].method.title, _nominal(cells[0]), *values])

    return Report(
        "accuracy-figure-1", "Perplexity by bits per weight (the paper's Fig. 1)",
        [Section(f"Perplexity by bits, {text}", header, rows)],
        protocol_notes(results, plan), cell_records(results.cells),
        lambda figure: _pictures().draw_figure_1(figure, results),
    )  # fmt: skip


def figure_1_methods() -> list[str]:
    """All methods of Fig. 1."""
    return ["none", *(name for members in FIGURE_METHODS.values() for name in members)]
