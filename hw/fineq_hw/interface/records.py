"""Records of scales and biases in memory (docs/hardware/driver.md)."""

from __future__ import annotations

from fineq_hw.interface.bit_fields import BitField
from fineq_hw.interface.jobs import BIAS_BITS, MULTIPLIER_BITS

Record = tuple[BitField, ...]
"""Fields in the order of their offsets, which leave no bit out."""

_SCALE = (
    BitField("multiplier", 0, MULTIPLIER_BITS, "The scale is multiplier / 2^shift."),
    BitField("shift", MULTIPLIER_BITS, 8, "The lowest `SHIFT_BITS` bits count."),
    BitField("reserved", MULTIPLIER_BITS + 8, 8, "Not looked at."),
)

CHANNEL_PARAMETERS: Record = (*_SCALE, BitField("bias", 32, BIAS_BITS, "Q15.16.", signed=True))
"""Record of one output channel: its weight scale and its bias."""

TOKEN_PARAMETERS: Record = _SCALE
"""Record of one token: its activation scale."""


def record_bytes(record: Record) -> int:
    """Bytes of a record: 8 for a channel, 4 for a token."""
    return sum(field.width for field in record) // 8
