"""Accuracy against cycles: every encoding of the array under every recipe (docs/quantizer/encodings.md).

A weight vector of the array takes as long as its largest magnitude asks for, and a more accurate choice of codes
uses large magnitudes more often. This study counts both, on models and on seeded rows, and multiplies the cycles
with the area that synthesis reports for a processing element.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.evaluation.perplexity import Text
from fineq.format.temporal import ENCODINGS
from fineq.huggingface.loading import load_model
from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.recipes import CYCLE_WEIGHT
from fineq_reports.accuracy.cycle_counts import (
    CALIBRATED,
    COLUMNS,
    DISTRIBUTIONS,
    ROWS,
    Point,
    matrix_points,
    model_points,
    permutation_rows,
    study_recipes,
)
from fineq_reports.accuracy.tables import Report, Section, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def encodings(
    models: list[Path],
    text: Text,
    calibration: Text,
    columns: int = 64,
    windows: int | None = None,
    synthesis: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """The whole study.

    Args:
        models: model directories; seeded rows come in addition.
        columns: of the array.
        windows: of the text, for perplexity.
        synthesis: report of `make synth` (JSON) for areas; None: cycles only.
    """
    designs = read_designs(synthesis, columns) if synthesis else []
    names = [Path(path).resolve().name for path in models]
    steps = len(study_recipes(columns)) * (len(models) + len(DISTRIBUTIONS)) + len(CALIBRATED) * len(models)
    points: list[Point] = []

    def collect(source: Iterator[Point]) -> None:
        for point in source:
            points.append(point)
            if progress:
                progress(f"{point.data}, {point.recipe}", len(points), steps)

    moved = []
    for path, name in zip(models, names, strict=True):
        collect(model_points(path, text, calibration, columns, windows))
        model = load_model(path)
        moved += permutation_rows(name, [get_weight(model, layer).float() for layer in block_linears(model)], columns)
    for number_, (name, draw) in enumerate(DISTRIBUTIONS.items()):
        weight = draw(torch.Generator().manual_seed(number_))
        collect(matrix_points(name, weight, columns))
        moved += permutation_rows(name, [weight], columns)
    data = [*names, *DISTRIBUTIONS]
    header = ["data", "recipe", "columns together", "error"]
    sections = [
        _plain_section(points),
        *(_aware_section(points, name) for name in data),
        Section("Permuted input channels", [*header, *ENCODINGS], moved),
        *([_area_section(points, designs)] if designs else []),
    ]
    notes = [
        f"Cycles per weight vector of {columns} columns, by encoding (`fineq.format.temporal`). Seeded rows: {ROWS} of "
        f"{COLUMNS} columns. *Error* is squared error over squared weights. *3* is the share of weights with code +-3. "
        f"Perplexity on {text.name}, {'all windows' if windows is None else f'first {windows} windows'}; tiny models, "
        "where differences of a few percent decide nothing."
    ]
    return Report(
        "encodings", "Accuracy against cycles", sections, notes, [point.record() for point in points],
        lambda figure: _draw(figure, points),
    )  # fmt: skip


def _figures(point: Point, encodings_: Sequence[str]) -> list[str]:
    cycles = [f"{point.cycles[encoding]:.3f}" for encoding in encodings_]
    return [number(point.error, 3), number(point.perplexity), f"{100 * point.threes:.2f}%", *cycles]


def _plain_section(points: list[Point]) -> Section:
    rows = [[p.data, p.recipe, *_figures(p, ENCODINGS)] for p in points if not p.encoding]
    header = ["data", "recipe", "error", "perplexity", "3", *ENCODINGS]
    return Section("Recipes that know no cycles", header, rows)


def _aware_section(points: list[Point], data: str) -> Section:
    rows = [
        [p.recipe, p.encoding, f"{p.cycle_weight:g}", *_figures(p, (p.encoding,))]
        for p in points
        if p.encoding and p.data == data
    ]
    return Section(f"Cycle-aware, {data}", ["recipe", "encoding", "weight", "error", "perplexity", "3", "cycles"], rows)


# -- area ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SynthesisedArray:
    """An array as synthesis reports it."""

    title: str
    encoding: str | None
    """None: a MAC array, one cycle whatever the weights."""
    area: float
    """Of a processing element with its share of everything else, µm²."""

    def product(self, point: Point) -> float:
        """Area times cycles for a multiplication, µm² x cycles."""
        return self.area * (point.cycles[self.encoding] if self.encoding else 1.0)


def read_designs(path: Path, columns: int) -> list[SynthesisedArray]:
    """The designs of a report of `make synth` (docs/results/synth-64x64.json).

    Raises:
        FineqError: unreadable, not such a report, or of another number of columns.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        designs = content["designs"]
        widths = {design["columns"] for design in designs}
        found = [
            SynthesisedArray(design["title"], _encoding(design), float(design["area_per_element_um2"]))
            for design in designs
        ]
    except FineqError:
        raise
    except OSError as error:
        raise FineqError(f"cannot read the synthesis report {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FineqError(f"{path} is not a synthesis report: give the .json file of `make synth`") from error
    if widths != {columns}:
        raise FineqError(f"{path} is about arrays of {sorted(widths)} columns, not {columns}: give one of that width")
    return found


def _encoding(design: dict[str, Any]) -> str | None:
    """Of a FineQ array, whose entry names it; a MAC array has none."""
    encoding = design.get("encoding")
    if encoding is not None and encoding not in ENCODINGS:
        raise FineqError(
            f"{design['title']} names the encoding {encoding!r}, which is unknown: choose one of {', '.join(ENCODINGS)}"
        )
    return encoding


def _is_meant(point: Point, design: SynthesisedArray) -> bool:
    """Whether the codes were chosen for any array, or for this one with the usual weight."""
    if not point.encoding or design.encoding is None:
        return True
    return point.encoding == design.encoding and math.isclose(point.cycle_weight, CYCLE_WEIGHT)


def _area_section(points: list[Point], designs: list[SynthesisedArray]) -> Section:
    """Area times cycles: the plain recipes, and each design with the codes chosen for its encoding."""
    rows = []
    for data in dict.fromkeys(point.data for point in points):
        mine = [point for point in points if point.data == data]
        for recipe in dict.fromkeys(point.recipe for point in mine):
            row = []
            for design in designs:
                usable = [p for p in mine if p.recipe == recipe and _is_meant(p, design)]
                row.append(f"{design.product(usable[0]):.1f}" if usable else "-")
            rows.append([data, recipe, *row])
    header = ["data", "recipe", *(f"{d.title} ({d.area:.1f} µm²)" for d in designs)]
    title = f"Area times cycles per MAC, µm² x cycles; cycle-aware recipes at weight {CYCLE_WEIGHT:g}"
    return Section(title, header, rows)


# -- the picture -----------------------------------------------------------------------------------------------


def _draw(figure: Figure, points: Sequence[Point]) -> None:
    from fineq_reports.accuracy.encodings_picture import draw

    draw(figure, points)


def read_points(text: str) -> list[Point]:
    """The points of the CSV file of a report."""
    return [
        Point(
            row["data"],
            row["recipe"],
            row["for_encoding"],
            float(row["cycle_weight"]),
            float(row["normalised_error"]),
            {encoding: float(row[f"cycles_{encoding}"]) for encoding in ENCODINGS},
            float(row["share_of_threes"]),
            float(row["perplexity"]) if row["perplexity"] else None,
        )
        for row in csv.DictReader(io.StringIO(text))
    ]
