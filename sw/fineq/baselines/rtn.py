"""Round-to-nearest on an asymmetric uniform grid, one grid a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.errors import FineqError
from fineq.quantizer import check_finite, check_matrix

SCALE_BITS = 32
"""A scale is stored in float32, as FineQ's are."""


@dataclass(frozen=True)
class Rtn:
    """All weights go to the nearest of 2^bits evenly spaced values of their row (paper Section V-A, its [11]).

    The grid spans the row's minimum to its maximum, extended to contain 0, and is shifted so that 0 is a grid
    point: scale = (max - min) / (2^bits - 1), zero = round(-min / scale), code = clamp(round(w / scale) + zero),
    value = (code - zero) * scale. All in float32, rounding half to even.
    """

    bits: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 8:
            raise FineqError(f"bits is {self.bits}: it must lie between 1 and 8")

    @property
    def title(self) -> str:
        return f"RTN, {self.bits} bits, asymmetric per row"

    def __call__(self, weight: Tensor, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and the bits per weight with a row's scale and zero point."""
        check_matrix(weight, name)
        weight = weight.to(torch.float32)
        check_finite(weight, name)
        levels = 2**self.bits - 1
        low = weight.amin(dim=1, keepdim=True).clamp(max=0)
        high = weight.amax(dim=1, keepdim=True).clamp(min=0)
        scale = (high - low) / levels
        scale = torch.where(scale == 0, 1.0, scale)
        zero = (-low / scale).round()
        codes = ((weight / scale).round() + zero).clamp(0, levels)
        return (codes - zero) * scale, self.bits + (SCALE_BITS + self.bits) / weight.shape[1]
