"""Round-to-nearest on an asymmetric uniform grid, one grid a row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fineq.baselines.grid import ROW_SCALE_BITS, check_bits, min_max_grid
from fineq.quantizer.checks import float_matrix


@dataclass(frozen=True)
class Rtn:
    """All weights go to the nearest of 2^bits evenly spaced values of their row (paper Section V-A, its [11]).

    The grid spans the row's minimum to its maximum, extended to contain 0, and is shifted so that 0 is a grid
    point: see `min_max_grid`. All in float32, rounding half to even.
    """

    bits: int = 2

    def __post_init__(self) -> None:
        check_bits(self.bits, 1, 8)

    @property
    def title(self) -> str:
        return f"RTN, {self.bits} bits, asymmetric per row"

    def __call__(self, weight: Tensor, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and the bits per weight with a row's scale and zero point."""
        weight = float_matrix(weight, name)
        bits = self.bits + (ROW_SCALE_BITS + self.bits) / weight.shape[1]
        return min_max_grid(weight, self.bits).nearest(weight), bits
