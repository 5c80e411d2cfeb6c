"""Asymmetric uniform grids: 2^bits evenly spaced values of a row or of a group, 0 among them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.common.errors import FineqError

SHRINK_STEPS = 40
"""The search tries the whole range times n/40, n = 40 down to 8."""

ROW_SCALE_BITS = 32
"""A row's scale is stored in float32, as FineQ's are."""

GROUP_SCALE_BITS = 16
"""A group's scale is stored in float16, as is usual for groups."""


def check_bits(bits: int, least: int, most: int) -> None:
    """Raise unless a method can work with codes of so many bits."""
    if not least <= bits <= most:
        raise FineqError(f"bits is {bits}: it must lie between {least} and {most}")


@dataclass(frozen=True)
class Grid:
    """Values (code - zero) * scale with codes 0..levels; one scale and zero a row, float32 [rows, 1]."""

    scale: Tensor
    zero: Tensor
    levels: int

    def nearest(self, weight: Tensor) -> Tensor:
        """The grid's value nearest to each weight, half to even, in the weight's dtype: [rows, columns]."""
        codes = ((weight / self.scale).round() + self.zero).clamp(0, self.levels)
        return (codes - self.zero) * self.scale


def min_max_grid(weight: Tensor, bits: int, scale_bits: int = ROW_SCALE_BITS, shrink: float = 1.0) -> Grid:
    """A grid from the smallest to the largest weight of each row, extended to contain 0, in float32.

    scale = (max - min) / (2^bits - 1), zero = round(-min / scale); `shrink` multiplies max and min first.
    """
    weight = weight.to(torch.float32)
    low = weight.amin(dim=1, keepdim=True).clamp(max=0) * shrink
    high = weight.amax(dim=1, keepdim=True).clamp(min=0) * shrink
    levels = 2**bits - 1
    scale = (high - low) / levels
    if scale_bits == GROUP_SCALE_BITS:
        scale = scale.to(torch.float16).to(torch.float32)
    scale = torch.where(scale == 0, 1.0, scale)
    return Grid(scale, (-low / scale).round().clamp(0, levels), levels)


def searched_grid(
    weight: Tensor, bits: int, scale_bits: int = ROW_SCALE_BITS, importance: Tensor | None = None
) -> Grid:
    """The shrunk `min_max_grid` of each row with the least squared error, columns weighted by `importance`."""
    chosen: tuple[Grid, Tensor] | None = None
    for numerator in range(SHRINK_STEPS, SHRINK_STEPS // 5 - 1, -1):
        grid = min_max_grid(weight, bits, scale_bits, numerator / SHRINK_STEPS)
        loss = (weight - grid.nearest(weight)).square()
        loss = (loss if importance is None else loss * importance).sum(dim=1, keepdim=True)
        if chosen is None:
            chosen = grid, loss
        else:
            best, least = chosen
            better = loss < least
            scale, zero = (torch.where(better, new, old) for new, old in
                           ((grid.scale, best.scale), (grid.zero, best.zero)))  # fmt: skip
            chosen = Grid(scale, zero, grid.levels), torch.minimum(least, loss)
    assert chosen is not None  # there are several steps
    return chosen[0]
