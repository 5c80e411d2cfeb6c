"""The accelerator's registers: the one place that says which there are, for RTL, driver and docs/hardware/registers.md.

Registers are 32-bit words of an AXI4-Lite slave; those of 64 bits are two words, the low one first. The layout of
a job descriptor and what is checked in it: `interface.descriptors`; error codes: `interface.error_codes`.
"""

from collections.abc import Mapping

from fineq_hw.interface.registers.control import CONTROL
from fineq_hw.interface.registers.counters import COUNTER_REGISTERS, COUNTERS, STAGES, Counter, counter_offset
from fineq_hw.interface.registers.fields import ADDRESS_BITS, WORD_BITS, WORD_BYTES, Access, Register, RegisterField
from fineq_hw.interface.registers.identification import IDENTIFICATION, MAGIC, VERSION
from fineq_hw.interface.registers.outcome import OUTCOME

__all__ = [
    "ADDRESS_BITS",
    "COUNTERS",
    "MAGIC",
    "REGISTERS",
    "STAGES",
    "VERSION",
    "WORD_BITS",
    "WORD_BYTES",
    "Access",
    "Counter",
    "Register",
    "RegisterField",
    "counter_offset",
]

REGISTERS: Mapping[str, Register] = {
    register.name: register for register in (*IDENTIFICATION, *CONTROL, *OUTCOME, *COUNTER_REGISTERS)
}
"""All registers by name, in the order of their addresses."""
