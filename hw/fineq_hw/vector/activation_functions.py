"""SiLU and GELU as tables, for the vector unit and for its reference: integers only, the same on both sides.

Both functions are relu(x) - g(|x|), where g is even, small and dies out: x sigmoid(-x) and x Phi(-x). A table
therefore holds g at equally spaced points of the positive half; between two of them it is interpolated linearly.
Beyond the last point g counts as zero, and at zero it is exact: f(0) = 0.

Fixed point: arguments and results have `FRACTION_BITS`; table entries have `GUARD_BITS` more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import erfc, exp, sqrt

from fineq_hw.interface.jobs import FRACTION_BITS, ActivationFunction

INDEX_BITS = 9
"""Segments of a table: 512."""

GUARD_BITS = 2
"""Binary places of a table entry beyond `FRACTION_BITS`."""

FRACTION_IN_SEGMENT_BITS = 11
"""Width of the position in a segment; narrower segments are shifted up to it."""


def _silu_rest(x: float) -> float:
    return x / (1.0 + exp(x))


def _gelu_rest(x: float) -> float:
    return x * 0.5 * erfc(x / sqrt(2.0))


@dataclass(frozen=True)
class PiecewiseTable:
    """Piecewise linear g.

    Attributes:
        segment_bits: log2 of the width of a segment, in units of 2^-FRACTION_BITS.
        bases: g at the start of each segment, in units of 2^-(FRACTION_BITS + GUARD_BITS); not negative.
        deltas: what it grows by over the segment, same units.
    """

    segment_bits: int
    bases: tuple[int, ...]
    deltas: tuple[int, ...]

    @property
    def end(self) -> int:
        """First |x|, in units of 2^-FRACTION_BITS, that lies beyond the table."""
        return 1 << (self.segment_bits + INDEX_BITS)


_SOURCES: dict[ActivationFunction, tuple[Callable[[float], float], int]] = {
    ActivationFunction.SILU: (_silu_rest, 11),  # 1/32 wide, up to 16
    ActivationFunction.GELU: (_gelu_rest, 10),  # 1/64 wide, up to 8
}

TABLE_FUNCTIONS: tuple[ActivationFunction, ...] = tuple(_SOURCES)
"""Functions that need a table."""

MAX_ERRORS: dict[ActivationFunction, float] = {
    ActivationFunction.NONE: 0.0,
    ActivationFunction.RELU: 0.0,
    ActivationFunction.SILU: 7.0e-5,
    ActivationFunction.GELU: 3.3e-5,
}
"""Bound of |computed - exact| over all 2^32 arguments; the tests measure it."""


@cache
def table(function: ActivationFunction) -> PiecewiseTable:
    """The table of a function.

    Raises:
        ValueError: the function needs none.
    """
    if function not in _SOURCES:
        raise ValueError(f"{function.name} has no table: choose one of {', '.join(f.name for f in _SOURCES)}")
    rest, segment_bits = _SOURCES[function]
    step = 2.0 ** (segment_bits - FRACTION_BITS)
    points = [round(rest(index * step) * 2 ** (FRACTION_BITS + GUARD_BITS)) for index in range((1 << INDEX_BITS) + 1)]
    deltas = tuple(after - before for before, after in zip(points, points[1:], strict=False))
    return PiecewiseTable(segment_bits, tuple(points[:-1]), deltas)


def _all_tables() -> list[PiecewiseTable]:
    return [table(function) for function in TABLE_FUNCTIONS]


def base_bits() -> int:
    """Width of an unsigned base of any table."""
    return max(max(entry.bases) for entry in _all_tables()).bit_length()


def delta_bits() -> int:
    """Width of a signed delta of any table."""
    return max(max(map(abs, entry.deltas)) for entry in _all_tables()).bit_length() + 1
