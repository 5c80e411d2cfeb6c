"""The numbers that every form of the quantizer shares, and the rules of its arithmetic.

The plain loops (`reference`), the tensors (`vectorised`) and the native kernels agree bit for bit, and that needs
exact rules. All of it is IEEE float32, one operation at a time, no fused multiply-add:

* scale = absmax / 3. If that is below `SMALLEST_SCALE` the scale is 1 and all codes of the channel are 0.
* x = w / scale (a division, never a multiplication by the reciprocal).
* value = round(x), half to even, then clamped to -1..1 (2 bits) or -3..3 (3 bits).
* outliers: max > threshold * min.
* loss of a weight: (x - value)^2 or |x - value|; of a cluster: (l0 + l1) + l2; of a pair: first + second.
* scales of the search: scale * (n/32) for n up to 32, absmax * (n/96) beyond, so that n = 96 is absmax itself.
* first one wins among equals: smallest weight of a cluster, code of a pair, scale of the grid.
* scale search: the losses of the pairs become integers in units of 2^-20 (half to even) before they are
  summed, so that the sum does not depend on its order, on threads or on the machine.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fineq.format import MAX_MAGNITUDE

SCALE_GRID_DENOMINATOR = 32
CLIPPED_GRID = tuple(range(SCALE_GRID_DENOMINATOR, 2, -1))
"""Scales that clip the largest weights: n/32 * absmax/3 for n = 32 down to 3."""

WIDE_SCALES = (96, 36, 40, 44, 48, 56, 64, 72, 80, 88)
"""Scales that leave the largest magnitudes unused: n/96 * absmax. They suit rows without tails: short ones, uniform
ones. Few are enough, for the loss is flat there, and long rows drop them early. At absmax a ternary row is exact."""

SCALE_GRID = (WIDE_SCALES[0], *CLIPPED_GRID, *WIDE_SCALES[1:])
"""What the search tries, the preferred of equals first: a row that is exact at absmax needs no 3."""

SMALLEST_SCALE = 2.0**-100
"""Below this a channel counts as zero: far from subnormal numbers, far below any real weight."""

LOSS_UNIT = 2.0**-20
"""Unit of the integers that the scale search adds up; a row of 10^8 weights does not overflow 64 bits."""


def grid_scales(absmax: Tensor, base: Tensor, numerator: int) -> Tensor:
    """A scale of the grid for each row: float32 [rows], as `absmax` and `base` (absmax / 3)."""
    if numerator <= SCALE_GRID_DENOMINATOR:
        return base * torch.full_like(base, numerator / SCALE_GRID_DENOMINATOR)
    return absmax * torch.full_like(absmax, numerator / (SCALE_GRID_DENOMINATOR * MAX_MAGNITUDE))


def first_minimum(candidates: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Position in the list, and value, of the first least candidate, element by element."""
    least, position = candidates[0], torch.zeros_like(candidates[0], dtype=torch.int64)
    for number, candidate in enumerate(candidates[1:], start=1):
        is_less = candidate < least
        least = torch.where(is_less, candidate, least)
        position.masked_fill_(is_less, number)
    return position, least


def in_units(losses: Tensor) -> Tensor:
    """Losses as integers, int64 of the same shape: their sum does not depend on its order."""
    return (losses / torch.full_like(losses, LOSS_UNIT)).round().to(torch.int64)
