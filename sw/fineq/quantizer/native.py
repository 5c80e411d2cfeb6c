"""The native kernels at the service of a recipe: its switches become the plain numbers that they take."""

from __future__ import annotations

from torch import Tensor

from fineq import kernels
from fineq.quantizer.arithmetic import LOSS_UNIT, SCALE_GRID_DENOMINATOR, SMALLEST_SCALE
from fineq.quantizer.cycle_aware import allowances, cycle_worth, scale_grid
from fineq.quantizer.recipes import Recipe


def quantize_rows(
    channels: Tensor, recipe: Recipe, blocks: Tensor, scales: Tensor, figures: kernels.RowFigures | None = None
) -> int | None:
    """`fineq.kernels.quantize_rows` by a recipe: same arguments, same answer."""
    windows = window_options(recipe, channels.shape[1]) if recipe.cycle_weight else None
    return kernels.quantize_rows(channels, row_options(recipe), blocks, scales, windows, figures)


def row_options(recipe: Recipe) -> kernels.RowOptions:
    """How rows become codes."""
    if recipe.cycle_weight:
        grid = scale_grid(recipe)
    else:
        grid = recipe.search_grid()
    return kernels.RowOptions(
        is_signed=recipe.comparison == "signed",
        is_argmin=recipe.pairs == "argmin",
        is_squared=recipe.loss == "squared",
        threshold=recipe.threshold,
        smallest_scale=SMALLEST_SCALE,
        loss_unit=LOSS_UNIT,
        grid=grid,
        grid_denominator=SCALE_GRID_DENOMINATOR,
    )


def window_options(recipe: Recipe, length: int) -> kernels.WindowOptions:
    """What cycles cost a row of `length` weights."""
    choice = allowances(recipe.encoding)
    return kernels.WindowOptions(
        largest=[allowance.largest for allowance in choice],
        cycles=[allowance.cycles for allowance in choice],
        columns=recipe.columns,
        worth=cycle_worth(recipe, length),
    )
