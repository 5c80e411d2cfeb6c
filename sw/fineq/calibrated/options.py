"""Switches of the solver of one layer, and of the tuning of the whole model."""

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


@dataclass(frozen=True)
class TuningOptions:
    """Switches of end-to-end tuning (`fineq.calibrated.tuning`).

    Attributes:
        steps: optimizer steps; 0: no tuning.
        tokens: of the windows in one step, rounded down to whole windows.
        windows: of the text that are trained on, spread evenly over it; 0: those that the blocks are calibrated with,
            whose full-precision outputs are known already.
        scale_rate: learning rate of the logarithms of the scales.
        other_rate: learning rate of norms and biases, in units of their root mean square; 0: they stay.
        code_reach: how far a code's latent value may move in the whole run, about, in units of a code; 0: codes stay.
            The rate follows from it, so that more steps do not mean more codes that change by chance.
        seed: of the order of the windows.
    """

    steps: int = 0
    tokens: int = 1024
    windows: int = 0
    scale_rate: float = 0.006
    other_rate: float = 0.003
    code_reach: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (("steps", 0, 10**6), ("tokens", 1, 10**7), ("windows", 0, 10**6), ("seed", 0, 2**31)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise FineqError(f"{name} is {value!r}: it must be a whole number from {least} to {most}")
        for name in ("scale_rate", "other_rate", "code_reach"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise FineqError(f"{name} is {value!r}: it must be a number from 0 to 1")
