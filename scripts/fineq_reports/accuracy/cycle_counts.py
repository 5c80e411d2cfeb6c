"""What a recipe costs on given weights: error, perplexity, and cycles of the array by encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated import find_calibrated_recipe, quantize_model
from fineq.evaluation.evaluate import Subject, measure
from fineq.evaluation.methods import find_method
from fineq.evaluation.perplexity import Text, tokenize
from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import ENCODINGS, MAX_CYCLES, PULSES
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.language_model import block_linears, get_weight, set_weight
from fineq.quantizer.cycle_aware import window_cycles
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.recipes import CYCLE_WEIGHT, RECIPES, Recipe
from fineq.quantizer.vectorised import quantize
from fineq_reports.accuracy.tables import number

ROWS, COLUMNS = 64, 4096
"""Of the seeded matrices: the width of the layers of a large model."""

CYCLE_WEIGHTS = (0.01, 0.02, CYCLE_WEIGHT, 0.05, 0.1)
PLAIN_RECIPES = ("paper", "paper-argmin", "mse")
CYCLE_RECIPES = ("paper-cycles", "mse-cycles")
CALIBRATED = tuple(map(find_calibrated_recipe, ("calibrated", "calibrated-2", "calibrated-1")))
GRANULARITIES = (1, 6, 24)
"""Columns that stay together when input channels are permuted: one, a pair of clusters, a block."""

DISTRIBUTIONS: dict[str, Callable[[torch.Generator], Tensor]] = {
    "Gaussian": lambda generator: torch.randn(ROWS, COLUMNS, generator=generator),
    "Laplace": lambda generator: _laplace(generator),
    "Student t, 10": lambda generator: _student(generator, 10),
    "Student t, 5": lambda generator: _student(generator, 5),
}
"""Rows by how heavy their tails are."""


def _laplace(generator: torch.Generator) -> Tensor:
    uniform = torch.rand(ROWS, COLUMNS, generator=generator, dtype=torch.float64) - 0.5
    return (-uniform.sign() * torch.log1p(-2 * uniform.abs())).float()


def _student(generator: torch.Generator, freedom: int) -> Tensor:
    """Normal over the root of a mean of `freedom` squared normals."""
    normal = torch.randn(ROWS, COLUMNS, generator=generator, dtype=torch.float64)
    squares = torch.randn(freedom, ROWS, COLUMNS, generator=generator, dtype=torch.float64).square().mean(dim=0)
    return (normal / squares.sqrt()).float()


def aware_encodings() -> list[str]:
    """Encodings for which a cycle-aware recipe has a choice: a vector may take more than one cycle."""
    return [encoding for encoding in PULSES if MAX_CYCLES[encoding] > 1]


# -- counting --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """One recipe on one set of weights."""

    data: str
    recipe: str
    encoding: str
    """For which a cycle-aware recipe was told to choose; empty: for none."""
    cycle_weight: float
    error: float
    """Squared error over squared weights, all matrices together."""
    cycles: dict[str, float]
    """Mean over all weight vectors, by encoding."""
    threes: float
    """Share of the weights whose code is +-3."""
    perplexity: float | None

    def record(self) -> dict[str, Any]:
        """A row of the CSV file."""
        return {
            "data": self.data, "recipe": self.recipe, "for_encoding": self.encoding,
            "cycle_weight": f"{self.cycle_weight:g}", "normalised_error": f"{self.error:.5f}",
            "share_of_threes": f"{self.threes:.5f}",
            "perplexity": "" if self.perplexity is None else f"{self.perplexity:.5g}",
            **{f"cycles_{encoding}": f"{cycles:.4f}" for encoding, cycles in self.cycles.items()},
        }  # fmt: skip


class Counter:
    """Adds up matrices."""

    def __init__(self, columns: int) -> None:
        self.columns, self.error, self.power, self.threes, self.weights, self.vectors = columns, 0.0, 0.0, 0, 0, 0
        self.cycles = dict.fromkeys(ENCODINGS, 0)

    def add(self, weight: Tensor, packed: PackedWeight) -> Tensor:
        """Count a matrix; returns the matrix that its codes stand for."""
        codes, values = packed.codes().numpy(), packed.dequantize()
        self.error += (weight.double() - values.double()).square().sum().item()
        self.power += weight.double().square().sum().item()
        self.threes += int((np.abs(codes) == MAX_MAGNITUDE).sum())
        self.weights += codes.size
        for encoding in ENCODINGS:
            cycles = window_cycles(codes, self.columns, encoding)
            self.cycles[encoding] += int(cycles.sum())
        self.vectors += cycles.size
        return values

    def point(self, data: str, name: str, recipe: Recipe | None = None, perplexity: float | None = None) -> Point:
        """What was counted of a data-free recipe, or of any other that has a name only."""
        aware = recipe if recipe is not None and recipe.cycle_weight > 0 else None
        return Point(
            data, name, aware.encoding if aware else "", aware.cycle_weight if aware else 0.0,
            self.error / self.power, {e: total / self.vectors for e, total in self.cycles.items()},
            self.threes / self.weights, perplexity,
        )  # fmt: skip


def study_recipes(columns: int) -> list[tuple[str, Recipe]]:
    """All data-free recipes of the study by the named one that they come from: the plain ones, then the cycle-aware
    ones by encoding and weight."""
    aware = [
        (name, RECIPES[name].with_options(cycle_weight=weight, encoding=encoding, columns=columns))
        for name in CYCLE_RECIPES
        for encoding in aware_encodings()
        for weight in CYCLE_WEIGHTS
    ]
    return [*((name, RECIPES[name]) for name in PLAIN_RECIPES), *aware]


def matrix_points(data: str, weight: Tensor, columns: int) -> Iterator[Point]:
    """All recipes on one matrix."""
    for name, recipe in study_recipes(columns):
        counter = Counter(columns)
        counter.add(weight, quantize(weight, recipe))
        yield counter.point(data, name, recipe)


def model_points(path: Path, text: Text, calibration: Text, columns: int, windows: int | None) -> Iterator[Point]:
    """All recipes on a model, with perplexity on `text`; calibrated ones last."""
    model, tokenizer, data = load_model(path), load_tokenizer(path), Path(path).resolve().name
    weights = {name: get_weight(model, name).float().clone() for name in block_linears(model)}

    def point(name: str, recipe: Recipe | None, packed: dict[str, PackedWeight], changed: PreTrainedModel) -> Point:
        counter = Counter(columns)
        for layer, weight in weights.items():
            values = counter.add(weight, packed[layer])
            if changed is model:
                set_weight(model, layer, values)
        subject = Subject(changed, tokenizer, data, "", find_method("none"), None, [])
        return counter.point(data, name, recipe, measure(subject, text, max_windows=windows).result.perplexity)

    for name, recipe in study_recipes(columns):
        packed = {layer: quantize(weight, recipe, layer) for layer, weight in weights.items()}
        yield point(name, recipe, packed, model)
    for calibrated in CALIBRATED:
        fitted = load_model(path)
        packed, _ = quantize_model(fitted, tokenize(tokenizer, calibration.content), calibrated)
        yield point(calibrated.name, None, packed, fitted)


# -- permuted input channels -----------------------------------------------------------------------------------


def permuted(weight: Tensor, recipe: str, together: int) -> Tensor:
    """The matrix with its input channels in the order of how many large codes they hold, most first.

    Args:
        together: columns that are moved as one; a last, shorter group stays last.
    """
    codes = quantize(weight, recipe).codes().abs()
    score = (codes == MAX_MAGNITUDE).sum(dim=0) * len(codes) * 2 + (codes == MAX_MAGNITUDE - 1).sum(dim=0)
    groups = score[: len(score) // together * together].reshape(-1, together).sum(dim=1)
    order = groups.argsort(descending=True, stable=True)
    columns = (order[:, None] * together + torch.arange(together)).flatten()
    return weight[:, torch.cat([columns, torch.arange(len(columns), weight.shape[1])])]


def permutation_rows(data: str, weights: list[Tensor], columns: int) -> list[list[str]]:
    """Error and cycles with and without a permutation: one row by recipe and granularity."""
    rows = []
    for recipe in ("paper", "mse"):
        for together in (None, *GRANULARITIES):
            counter = Counter(columns)
            for weight in weights:
                moved = weight if together is None else permuted(weight, recipe, together)
                counter.add(moved, quantize(moved, recipe))
            point = counter.point(data, recipe)
            what = "as it is" if together is None else str(together)
            cycles = [f"{point.cycles[encoding]:.3f}" for encoding in ENCODINGS]
            rows.append([data, recipe, what, number(point.error, 3), *cycles])
    return rows
