"""Registers that say what has become of a chain or of an access to a register."""

from __future__ import annotations

from fineq_hw.interface.error_codes import ERROR_CODE_BITS
from fineq_hw.interface.registers.fields import ADDRESS_BITS, Access, Register, RegisterField, whole

OUTCOME: tuple[Register, ...] = (
    Register(
        "ERROR",
        0x050,
        "Why the chain ended.",
        (
            RegisterField("code", 0, ERROR_CODE_BITS, "See the table of error codes."),
            RegisterField(
                "detail", 8, 8, "With RESERVED_BITS: byte offset in the descriptor of the first word with such a bit."
            ),
        ),
    ),
    Register(
        "ACCESS_ERROR",
        0x054,
        "The first access that was refused.",
        (
            RegisterField("code", 0, ERROR_CODE_BITS, "See the table of error codes."),
            RegisterField("register", 16, ADDRESS_BITS, "Address of the register concerned."),
        ),
    ),
    Register(
        "ERROR_ADDRESS",
        0x058,
        "Where the error arose: address on the bus of a failed transfer, otherwise of the descriptor.",
        whole(Access.RO, bits=64),
        bits=64,
    ),
    Register("TAG", 0x060, "Tag of the descriptor that was finished last.", whole(Access.RO)),
    Register(
        "WATCHDOG",
        0x064,
        "Cycles without a sign of life from a memory that is on turn, after which the chain, or an abort, is given up "
        "with the error MEMORY_TIMEOUT. May be written while busy.",
        whole(Access.RW, "0: the machine waits for ever."),
    ),
)
