"""What a register is: fields, what the bus may do with them, and their values after reset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bit_fields import BitField

ADDRESS_BITS = 12
"""Width of a register address; the two lowest bits are ignored."""

WORD_BYTES = 4
WORD_BITS = 8 * WORD_BYTES

Constant = int | Callable[[AcceleratorConfig], int]
"""A number that may depend on the configuration."""


class Access(StrEnum):
    """What the bus may do with a field."""

    RO = "RO"
    """Read only."""
    RW = "RW"
    """Read and write."""
    W1C = "W1C"
    """Set by the machine; writing 1 clears it, writing 0 leaves it."""
    W1S = "W1S"
    """Writing 1 starts something; reads as 0."""


@dataclass(frozen=True)
class RegisterField(BitField):
    """Some bits of a register.

    Attributes:
        access: what the bus may do with it.
        value: after reset (for an identification always); depends on the configuration if it is a function.
    """

    access: Access = Access.RO
    value: Constant = 0

    def reset(self, config: AcceleratorConfig) -> int:
        """Value after reset."""
        return self.value(config) if callable(self.value) else self.value


@dataclass(frozen=True)
class Register:
    """A register: one word, or two if `bits` is 64. `locked`: not writable while the machine is busy."""

    name: str
    offset: int
    text: str
    fields: tuple[RegisterField, ...]
    bits: int = 32
    locked: bool = False

    @property
    def words(self) -> int:
        return self.bits // WORD_BITS

    @property
    def writable(self) -> bool:
        """Whether a write has an effect; otherwise it is answered with an error."""
        return any(field.access is not Access.RO for field in self.fields)

    def field(self, name: str) -> RegisterField:
        return next(field for field in self.fields if field.name == name)

    def reset(self, config: AcceleratorConfig) -> int:
        return sum(field.reset(config) << field.offset for field in self.fields)

    def encode(self, **values: int) -> int:
        """Value of the register with these fields, the others zero.

        Raises:
            ValueError: a value does not fit its field.
        """
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{self.name}.{name} is {value}: the field has {field.width} bits")
            word |= value << field.offset
        return word

    def decode(self, word: int) -> dict[str, int]:
        return {field.name: field.read(word) for field in self.fields}


def whole(access: Access, text: str = "", value: Constant = 0, bits: int = WORD_BITS) -> tuple[RegisterField, ...]:
    """The one field of a register without parts."""
    return (RegisterField("value", 0, bits, text, access, value),)
