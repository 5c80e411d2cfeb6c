"""The arithmetic of the vector unit in numpy, bit for bit (docs/hardware/vector-unit.md), and how its constants are
chosen.

Everything is exact in 64 bits: a sum of 32 bits times two multipliers of 16 bits stays below 2^63.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fineq_hw.interface.jobs import (
    BIAS_BITS,
    FRACTION_BITS,
    MAX_INT8,
    MULTIPLIER_BITS,
    SHIFT_BITS,
    ActivationFunction,
    OutputFormat,
)
from fineq_hw.vector.activation_functions import FRACTION_IN_SEGMENT_BITS, GUARD_BITS, TABLE_FUNCTIONS, table

MAX_MULTIPLIER = (1 << MULTIPLIER_BITS) - 1
MAX_SHIFT = (1 << SHIFT_BITS) - 1


def round_shift(values: ArrayLike, shift: ArrayLike) -> np.ndarray:
    """values / 2^shift to the nearest integer, ties to the even one.

    Args:
        values: int64, any but the most negative.
        shift: 0 or more, broadcast against `values`.

    Returns:
        int64.
    """
    values = np.asarray(values, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    small = np.clip(shift, 1, 63)  # zero is taken care of below; from 64 on everything rounds to zero
    floor = values >> small
    rest = values - (floor << small)
    half = np.int64(1) << (small - 1)
    rounded = floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))
    return np.where(shift == 0, values, np.where(shift > 63, 0, rounded))


def saturate(values: ArrayLike, bits: int = 32) -> np.ndarray:
    """Nearest value that fits into `bits` bits, two's complement; int64."""
    limit = 1 << (bits - 1)
    return np.clip(np.asarray(values, dtype=np.int64), -limit, limit - 1)


def apply_function(function: ActivationFunction, values: ArrayLike) -> np.ndarray:
    """The vector unit's activation function on fixed-point values with `FRACTION_BITS`; int64."""
    values = np.asarray(values, dtype=np.int64)
    if function is ActivationFunction.NONE:
        return values
    positive = np.maximum(values, 0)
    if function not in TABLE_FUNCTIONS:
        return positive
    segments = table(function)
    magnitudes = np.abs(values)
    inside = np.where(magnitudes < segments.end, magnitudes, 0)
    index = inside >> segments.segment_bits
    fraction = (inside & ((1 << segments.segment_bits) - 1)) << (FRACTION_IN_SEGMENT_BITS - segments.segment_bits)
    base = np.asarray(segments.bases, dtype=np.int64)[index]
    delta = np.asarray(segments.deltas, dtype=np.int64)[index]
    dropped = FRACTION_IN_SEGMENT_BITS + GUARD_BITS
    rest = ((base << FRACTION_IN_SEGMENT_BITS) + delta * fraction + (1 << (dropped - 1))) >> dropped
    return positive - np.where(magnitudes < segments.end, rest, 0)


@dataclass(frozen=True)
class VectorSettings:
    """What a job tells the vector unit.

    Attributes:
        output_format, function: as in `accelerator_layouts`.
        requantize_multiplier, requantize_shift: for INT8 only.

    Raises:
        ValueError: a value does not fit, or SUMS is asked for with a function.
    """

    output_format: OutputFormat = OutputFormat.FIXED
    function: ActivationFunction = ActivationFunction.NONE
    requantize_multiplier: int = 1
    requantize_shift: int = 0

    def __post_init__(self) -> None:
        for name, limit in (("requantize_multiplier", MAX_MULTIPLIER), ("requantize_shift", MAX_SHIFT)):
            value = getattr(self, name)
            if not 0 <= value <= limit:
                raise ValueError(f"{name} is {value}: it must lie between 0 and {limit}")
        if self.output_format is OutputFormat.SUMS and self.function is not ActivationFunction.NONE:
            raise ValueError(f"the output format SUMS knows no activation function: use NONE, not {self.function.name}")


def vector_unit(
    settings: VectorSettings,
    sums: ArrayLike,
    channel_multiplier: ArrayLike = 1,
    channel_shift: ArrayLike = 0,
    bias: ArrayLike = 0,
    token_multiplier: ArrayLike = 1,
    token_shift: ArrayLike = 0,
) -> np.ndarray:
    """What the vector unit makes of the sums of a layer.

    Args:
        settings: of the job.
        sums: [tokens, channels], signed, at most 32 bits.
        channel_multiplier, channel_shift, bias: [channels] or one for all.
        token_multiplier, token_shift: [tokens] or one for all.

    Returns:
        [tokens, channels]: int32, for INT8 int8.

    Raises:
        ValueError: a parameter does not fit its field, or the sums are no matrix.
    """
    sums = np.asarray(sums, dtype=np.int64)
    if sums.ndim != 2:
        raise ValueError(f"sums has {sums.ndim} dimensions: give [tokens, channels]")
    _check("sums", sums, -(1 << 31), (1 << 31) - 1)
    if settings.output_format is OutputFormat.SUMS:
        return sums.astype(np.int32)
    channel_multiplier = _check("channel_multiplier", channel_multiplier, 0, MAX_MULTIPLIER)
    channel_shift = _check("channel_shift", channel_shift, 0, MAX_SHIFT)
    bias = _check("bias", bias, -(1 << (BIAS_BITS - 1)), (1 << (BIAS_BITS - 1)) - 1)
    token_multiplier = _check("token_multiplier", token_multiplier, 0, MAX_MULTIPLIER)[..., None]
    token_shift = _check("token_shift", token_shift, 0, MAX_SHIFT)[..., None]

    product = sums * channel_multiplier * token_multiplier
    shift = np.maximum(channel_shift + token_shift - FRACTION_BITS, 0)
    biased = saturate(saturate(round_shift(product, shift)) + bias)
    activated = apply_function(settings.function, biased)
    if settings.output_format is OutputFormat.FIXED:
        return activated.astype(np.int32)
    requantized = round_shift(activated * settings.requantize_multiplier, settings.requantize_shift)
    return np.clip(requantized, -MAX_INT8, MAX_INT8).astype(np.int8)


def _check(name: str, values: ArrayLike, low: int, high: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.int64)
    if values.size and not (low <= values.min() and values.max() <= high):
        wrong = int(values.min() if values.min() < low else values.max())
        raise ValueError(f"{name} holds {wrong}: it must lie between {low} and {high}")
    return values


def fixed_point_scales(scales: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift of positive scales, as precise as 16 bits allow: scale ~ multiplier / 2^shift.

    The relative error is at most 2^-16, for scales below 2^-48 more, because the shift ends at 63.

    Args:
        scales: positive numbers, any shape.

    Returns:
        Multipliers and shifts, int64, of the same shape.

    Raises:
        ValueError: a scale is not a positive finite number, is too large or so small that it would become zero.
    """
    scales = np.asarray(scales, dtype=np.float64)
    bad = scales[~(np.isfinite(scales) & (scales > 0))]
    if bad.size:
        raise ValueError(f"a scale is {bad.flat[0]}: scales must be positive and finite")
    _, exponents = np.frexp(scales)  # scale = mantissa * 2^exponent, mantissa in [0.5, 1)
    shifts = np.minimum(MULTIPLIER_BITS - exponents.astype(np.int64), MAX_SHIFT)
    multipliers = np.rint(np.ldexp(scales, shifts))
    carried = multipliers > MAX_MULTIPLIER  # rounded up to the next power of two
    multipliers, shifts = np.where(carried, multipliers / 2, multipliers), np.where(carried, shifts - 1, shifts)
    if np.any(shifts < 0):
        raise ValueError(f"a scale is {scales[shifts < 0].flat[0]}: the largest possible is {MAX_MULTIPLIER}")
    if np.any(multipliers == 0):
        smallest = 2.0**-MAX_SHIFT
        raise ValueError(f"a scale is {scales[multipliers == 0].flat[0]}: the smallest possible is {smallest}")
    return multipliers.astype(np.int64), shifts


def requantize_constants(output_scale: float) -> tuple[int, int]:
    """Multiplier and shift that turn a fixed-point result into int8 steps of `output_scale`.

    Raises:
        ValueError: as `fixed_point_scales`.
    """
    if not output_scale > 0:
        raise ValueError(f"output_scale is {output_scale}: scales must be positive and finite")
    multiplier, shift = fixed_point_scales(2.0**-FRACTION_BITS / output_scale)
    return int(multiplier), int(shift)


def to_fixed(values: ArrayLike) -> np.ndarray:
    """Real numbers, such as biases, in fixed point with `FRACTION_BITS`; int64.

    Raises:
        ValueError: one does not fit into 32 bits.
    """
    fixed = np.rint(np.ldexp(np.asarray(values, dtype=np.float64), FRACTION_BITS))
    limit = 2.0 ** (BIAS_BITS - 1)
    if not np.all((fixed >= -limit) & (fixed < limit)):
        raise ValueError(f"a value lies outside -{limit / 2**FRACTION_BITS:g} .. {limit / 2**FRACTION_BITS:g}")
    return fixed.astype(np.int64)
