"""Length in cycles of the temporal code of a weight vector: the one definition of the array's pace.

A weight vector is the group of weights that is broadcast to the columns of the array at once. Each of its
weights becomes a bitstream (paper Section IV-C); the slowest weight decides when the next vector starts.
The RTL's control unit, the cycle model and cycle-aware quantization all use this table.
"""

from __future__ import annotations

from fineq.format import MAGNITUDE_BITS, MAX_MAGNITUDE

ENCODINGS: tuple[str, ...] = ("unary",)
"""Known encodings of a magnitude in time. `unary`: the number of ones is the value (the paper's)."""


def vector_cycles(max_magnitude: int, encoding: str = "unary", early_termination: bool = True) -> int:
    """Cycles that the array spends on one weight vector.

    Args:
        max_magnitude: largest magnitude in the vector, 0 to `MAX_MAGNITUDE`.
        encoding: one of `ENCODINGS`.
        early_termination: stop at the largest magnitude of the vector instead of the format's largest.

    Returns:
        Number of clock cycles, at least 1: a vector of zeros still hands over its partial sums.

    Raises:
        ValueError: the magnitude is outside the format's range or the encoding is unknown.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"unknown encoding {encoding!r}: choose one of {', '.join(ENCODINGS)}")
    if not 0 <= max_magnitude <= MAX_MAGNITUDE:
        raise ValueError(
            f"magnitude {max_magnitude} does not fit {MAGNITUDE_BITS} bits: it must lie between 0 and {MAX_MAGNITUDE}"
        )
    if not early_termination:
        return MAX_MAGNITUDE
    return max(1, max_magnitude)
