"""Which adder cells compress columns of bits, and when their outputs are there.

Every column of equal weight is compressed with full adders, earliest arriving bits first. Each full adder removes one
bit from the tree, so the count is the minimum; taking the earliest bits keeps it as shallow as a Dadda tree, and a late
operand simply enters near the end.

Arrivals are in arbitrary units, in the proportions of common standard cells: a full adder takes 2 to 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

# Delays of a full adder: the third input skips one exclusive-or on the way to the sum.
_AB_TO_SUM, _C_TO_SUM, _TO_CARRY = 3, 2, 2


@dataclass(frozen=True)
class Bit:
    """A wire in the tree: an input bit (`operand`, `index`) or an output of a cell (`cell`, 'sum' or 'carry')."""

    arrival: int
    source: tuple


@dataclass(frozen=True)
class AdderCell:
    """An adder cell: 'full', 'half', or those with one input tied to one: 'full_one' (a, b, 1), 'half_one' (a, 1)."""

    kind: str
    inputs: tuple[Bit, ...]


@dataclass
class Compression:
    """Outcome of `compress`: cells in dependency order, and what is left of each column, lowest weight first."""

    cells: list[AdderCell] = field(default_factory=list)
    columns: list[list[Bit]] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(cell.kind == kind for cell in self.cells)

    @property
    def arrival(self) -> int:
        """When the last remaining bit is there."""
        return max((bit.arrival for column in self.columns for bit in column), default=0)


def compress(columns: Sequence[Sequence[Bit]], constant: int = 0, ripple_columns: int = 0) -> Compression:
    """Reduce columns of bits to at most two bits each, modulo 2 ** len(columns).

    Args:
        columns: bits of weight 1, 2, 4 and so on.
        constant: number added on the way, by cells with an input tied to one.
        ripple_columns: this many of the lowest columns are reduced to one bit, which completes their carry
            chain with the same cells.
    """
    compression = Compression()
    pending = [list(column) for column in columns]

    def add(kind: str, *inputs: Bit, column: int) -> None:
        number = len(compression.cells)
        compression.cells.append(AdderCell(kind, inputs))
        early, late = max(bit.arrival for bit in inputs[:2]), inputs[-1].arrival
        total = max(early + _AB_TO_SUM, late + _C_TO_SUM) if len(inputs) == 3 else early + _C_TO_SUM
        pending[column].append(Bit(total, (number, "sum")))
        if column + 1 < len(pending):
            pending[column + 1].append(Bit(max(early, late) + _TO_CARRY, (number, "carry")))

    # The constant first, with bits that are there from the start: its carries are then early as well.
    for column, bits in enumerate(pending):
        if constant >> column & 1:
            bits.sort(key=lambda bit: bit.arrival)
            if not bits:
                bits.append(Bit(0, ("one",)))
            elif len(bits) == 1:
                add("half_one", bits.pop(0), column=column)
            else:
                add("full_one", bits.pop(0), bits.pop(0), column=column)

    for column, bits in enumerate(pending):
        height = 1 if column < ripple_columns else 2
        while len(bits) > height:
            bits.sort(key=lambda bit: bit.arrival)
            # A full adder on the last three bits would wait for the carry of the column below, which waited for
            # the one below it: a ripple. A half adder on the two early ones costs the same in the end.
            late_third = len(bits) == 3 and height == 2 and bits[2].arrival > bits[1].arrival
            if len(bits) == 2 or late_third:
                add("half", bits.pop(0), bits.pop(0), column=column)
            else:
                add("full", bits.pop(0), bits.pop(0), bits.pop(0), column=column)
        compression.columns.append(list(bits))
    return compression
