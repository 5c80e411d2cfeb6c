"""How long a run will take, told before it begins: counted in multiplications, at the speed that is measured here."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from fineq.blockwise.streamed import StreamedModel
from fineq.models.language_model import block_linears, find_weight

PASSES = 3
"""Of the windows through a block: as it was, piece by piece while it is quantized, and as it becomes."""

SOLVER_SECONDS = 6e-10
"""The native solver, times rows x columns squared (docs/quantizer/recipes.md)."""

PREPARATION_SECONDS = 7e-11
"""Factors of a Hessian, times columns cubed."""

PROBE = 512
"""Size of the product that tells the speed."""


@dataclass(frozen=True)
class Duration:
    """Seconds of a recipe without training, about, with the processor for itself.

    Attributes:
        products: passes of the windows and their moments.
        factors: of the moments.
        solver: rows that are solved.
    """

    products: float
    factors: float
    solver: float

    @property
    def total(self) -> float:
        """Of all of it, one after the other."""
        return self.products + self.factors + self.solver


def seconds_need(streamed: StreamedModel, windows: int, length: int) -> Duration:
    """How long a recipe without training takes."""
    tokens = windows * length
    rate = multiplications_per_second()
    names = block_linears(streamed.model)
    products = factors = solver = 0.0
    for number in range(len(streamed.blocks)):
        prefix = streamed.prefix(number)
        shapes = [find_weight(streamed.model, name).view().shape for name in names if name.startswith(prefix)]
        weights = sum(rows * columns for rows, columns in shapes)
        inputs = {columns for _, columns in shapes}
        moments = 2 * tokens * sum(columns**2 for columns in inputs)
        products += (PASSES * tokens * weights + moments) / rate
        solver += SOLVER_SECONDS * sum(rows * columns**2 for rows, columns in shapes)
        factors += PREPARATION_SECONDS * sum(columns**3 for columns in inputs)
    return Duration(products, factors, solver)


def multiplications_per_second() -> float:
    """Of float32 matrix products, on all threads of torch."""
    matrix = torch.ones(PROBE, PROBE)
    matrix @ matrix  # the first product starts the threads
    start = time.perf_counter()
    for _ in range(3):
        matrix @ matrix
    return 3 * PROBE**3 / max(time.perf_counter() - start, 1e-9)


def spoken(seconds: float) -> str:
    """A duration as one says it."""
    if seconds < 90:
        return "a minute" if seconds > 30 else "half a minute"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
