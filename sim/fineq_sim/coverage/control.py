"""What the bench of the descriptor unit must meet."""

from __future__ import annotations

from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, RESERVED_MASK, WORD_BITS
from fineq_hw.interface.error_codes import READ_FAULT, ErrorCode
from fineq_sim.coverage.groups import CoverGroup

DESCRIPTOR_CODES: tuple[ErrorCode, ...] = tuple(code for code in ErrorCode if ErrorCode.NONE < code < READ_FAULT)
"""Codes of descriptors that are refused."""

RESERVED_WORDS: tuple[int, ...] = tuple(
    number * WORD_BITS // 8
    for number in range(8 * DESCRIPTOR_BYTES // WORD_BITS)
    if RESERVED_MASK >> number * WORD_BITS & ((1 << WORD_BITS) - 1)
)
"""Byte offsets of the words of a descriptor that have reserved bits."""

VERDICTS = CoverGroup(
    "control.verdicts",
    "the descriptor unit has judged a descriptor",
    {"code": [ErrorCode.NONE.name, *(code.name for code in DESCRIPTOR_CODES)]},
)

RESERVED_BITS = CoverGroup(
    "control.reserved_bits",
    "the descriptor unit has found a reserved bit; the word that it names",
    {"word": [f"{offset:#04x}" for offset in RESERVED_WORDS]},
)
