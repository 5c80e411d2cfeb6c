"""Some bits of a number: what registers, descriptors and records in memory are made of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BitField:
    """A field of a register, a descriptor or a record in memory.

    Attributes:
        name: unique in its register, descriptor or record.
        offset, width: in bits, from the lowest; what lies in memory is read as one little-endian number.
        text: one sentence for the document.
        signed: two's complement.
    """

    name: str
    offset: int
    width: int
    text: str = ""
    signed: bool = field(default=False, kw_only=True)

    @property
    def mask(self) -> int:
        """The field's bits in the number."""
        return ((1 << self.width) - 1) << self.offset

    def read(self, number: int) -> int:
        """The field's bits out of the number, as an unsigned integer."""
        return (number & self.mask) >> self.offset
