"""Switches of the solver of one layer."""

from __future__ import annotations

from dataclasses import dataclass

from fineq.common.errors import FineqError
from fineq.format import MAX_MAGNITUDE


@dataclass(frozen=True)
class SolverOptions:
    """Switches of the solver.

    Attributes:
        hessian: `identity`, `diagonal` or `full`: which part of H is looked at.
        feedback_scales: multiples of the scale found on the diagonal that are tried with feedback.
        sweeps: rounds of step 3.
        breadth: partial solutions per pair, see `nearest_codes`.
        damping: added to the diagonal of H, times its mean.
        ordered: pairs with the largest inputs first.
        largest: magnitude that a code may have. 2 instead of the format's 3: one cycle for every weight vector on an
            array with encoding `2s-unary` or `cluster`, two, not three, with `unary` (docs/quantizer/encodings.md).
    """

    hessian: str = "full"
    feedback_scales: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    sweeps: int = 4
    breadth: int = 1
    damping: float = 0.05
    ordered: bool = True
    largest: int = MAX_MAGNITUDE

    def __post_init__(self) -> None:
        if self.hessian not in ("identity", "diagonal", "full"):
            raise FineqError(f"hessian is {self.hessian!r}: choose one of identity, diagonal, full")
        if self.largest not in range(1, MAX_MAGNITUDE + 1):
            raise FineqError(f"largest is {self.largest!r}: choose a magnitude from 1 to {MAX_MAGNITUDE}")
