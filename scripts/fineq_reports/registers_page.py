"""Writes docs/hardware/registers.md from the definitions that the RTL and the driver use.

fineq registers --output docs/hardware/registers.md
"""

from __future__ import annotations

from fineq.common.markdown import table
from fineq_hw.config import ACCELERATORS, ALIGNMENT
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, DESCRIPTOR_FIELDS
from fineq_hw.interface.error_codes import ERROR_TEXTS
from fineq_hw.interface.registers import (
    ADDRESS_BITS,
    COUNTERS,
    REGISTERS,
    STAGES,
    Register,
    RegisterField,
    counter_offset,
)

_HEAD = f"""# Registers, descriptors and error codes

This page is generated: `fineq registers --output docs/hardware/registers.md`.
Its sources in `hw/fineq_hw/interface`, `registers/`, `descriptors.py` and `error_codes.py`, also make the RTL and the
driver.

## Registers

An AXI4-Lite slave with 32-bit data and {ADDRESS_BITS}-bit addresses; the two lowest address bits are ignored.
Byte strobes are respected. A 64-bit register is two words, the low one first.
A write to a register that can only be read, to an address without a register, or of something that must not change
while the machine is busy is answered with SLVERR, changes nothing and is recorded in ACCESS_ERROR.
So is a read from an address without a register, which gives zero.
Reserved bits read as zero; writing them has no effect.

RO: read only. RW: read and write. W1C: writing 1 clears. W1S: writing 1 starts, reads as zero.
"""

_COUNTER_HEAD = f"""### Performance counters

64 bits each, read only, zero after reset and after CONTROL.clear_counters. Reading the low word holds the high word:
read the low word first, then the high word at the next address, and the two belong together.

A stage that is neither busy nor stalled has nothing to do: {", ".join(STAGES)}.
"""

_DESCRIPTOR_HEAD = f"""## Job descriptor

{DESCRIPTOR_BYTES} bytes, little endian, at an address that is a multiple of {ALIGNMENT}.
Bits without a name are reserved and must be zero.
While a job is running, the next descriptor of the chain is already fetched and checked; so it must be complete in
memory before the job before it starts. An error in it is reported when its turn comes, after the job before it.
"""

_ERROR_HEAD = """## Error codes

A descriptor is checked in the order of the codes, but for the regions: each of them is checked for alignment,
window and overlap before the next (destination, activations, weights, parameters, the descriptor, the next one).
The first thing wrong is reported, and nothing of that job is read or written.
"""


def _bits(offset: int, width: int) -> str:
    return str(offset) if width == 1 else f"{offset + width - 1}:{offset}"


def _value(field: RegisterField) -> str:
    if callable(field.value):
        return "see below" if field.width < 64 else "all ones"
    return f"0x{field.value:X}" if field.value > 9 else str(field.value)


def _register(register: Register) -> str:
    heading = f"### 0x{register.offset:03X} {register.name}\n\n{register.text}\n\n"
    rows = [
        (
            _bits(field.offset, field.width),
            f"`{field.name}`",
            field.access,
            _value(field),
            field.text or "The whole register.",
        )
        for field in register.fields
    ]
    return heading + table(("Bits", "Field", "Access", "Reset", "Meaning"), rows) + "\n"


def _identification() -> str:
    """Values of the fields that depend on the configuration."""
    fields = [
        (register, field)
        for register in REGISTERS.values()
        for field in register.fields
        if callable(field.value) and field.width < 64
    ]
    rows = [
        (f"`{name}`", *(field.reset(config) for _, field in fields)) for name, config in sorted(ACCELERATORS.items())
    ]
    labels = (field.name if field.name != "value" else register.name for register, field in fields)
    return "### Identification of the shipped accelerators\n\n" + table(("Accelerator", *labels), rows) + "\n"


def document() -> str:
    """The whole page."""
    counters = {f"COUNTER_{counter.name.upper()}" for counter in COUNTERS}
    parts = [_HEAD, "\n"]
    parts += [_register(register) for name, register in REGISTERS.items() if name not in counters]
    parts += [_identification(), _COUNTER_HEAD, "\n"]
    rows = [(f"0x{counter_offset(counter.name):03X}", f"`{counter.name}`", counter.text) for counter in COUNTERS]
    parts += [table(("Offset", "Counter", "Meaning"), rows), "\n", _DESCRIPTOR_HEAD, "\n"]
    descriptor = []
    for field in DESCRIPTOR_FIELDS:
        word, bit = divmod(field.offset, 32)
        descriptor.append((f"0x{4 * word:02X}", _bits(bit, field.width), f"`{field.name}`", field.text))
    parts += [table(("Offset", "Bits", "Field", "Meaning"), descriptor), "\n", _ERROR_HEAD, "\n"]
    rows = [(f"0x{code.value:02X}", f"`{code.name}`", text) for code, text in ERROR_TEXTS.items()]
    parts.append(table(("Code", "Name", "Meaning"), sorted(rows)))
    return "".join(parts)
