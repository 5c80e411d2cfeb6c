"""Round-to-nearest on an asymmetric uniform grid, one grid a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.baselines.grid import ROW_SCALE_BITS, min_max_grid
from fineq.errors import FineqError
from fineq.quantizer import check_finite, check_matrix


@dataclass(frozen=True)
class Rtn:
    """All weights go to the nearest of 2^bits evenly spaced values of their row (paper Section V-A, its [11]).

    The grid spans the row's minimum to its maximum, extended to contain 0, and is shifted so that 0 is a grid
    point: see `min_max_grid`. All in float32, rounding half to even.
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
        bits = self.bits + (ROW_SCALE_BITS + self.bits) / weight.shape[1]
        return min_max_grid(weight, self.bits).nearest(weight), bits
