"""What a job may ask for, and the widths of its numbers."""

from __future__ import annotations

from enum import IntEnum

from fineq_hw.config import MAX_LAYER_SIZE

POINTER_BITS = 64
"""Width of an address as registers and descriptors have it; a bus may have fewer bits."""

SIZE_BITS = MAX_LAYER_SIZE.bit_length()
"""Width of a number of tokens, channels or inputs."""

STRIDE_BITS = 32
TAG_BITS = 32
MULTIPLIER_BITS = 16
SHIFT_BITS = 6
BIAS_BITS = 32

FRACTION_BITS = 16
"""Binary places of a 32-bit result and of a bias: Q15.16."""

RESULT_BITS = 32
"""Width of a sum or of a fixed-point result in memory."""

MAX_INT8 = 127
"""Largest magnitude of a requantized result; -128 does not occur."""


class OutputFormat(IntEnum):
    """What the vector unit writes for each sum."""

    SUMS = 0
    """The integer sum itself, 32 bits."""
    FIXED = 1
    """Scaled, biased, through the activation function: 32-bit fixed point with `FRACTION_BITS`."""
    INT8 = 2
    """As FIXED, then requantized with the job's multiplier and shift to -127 .. 127, one byte."""


class ActivationFunction(IntEnum):
    """Function that the vector unit applies to the scaled and biased result."""

    NONE = 0
    RELU = 1
    SILU = 2
    GELU = 3


def result_bytes(output_format: int | OutputFormat) -> int:
    """Bytes of one result in memory.

    Raises:
        ValueError: there is no such output format.
    """
    return 1 if OutputFormat(output_format) is OutputFormat.INT8 else RESULT_BITS // 8
