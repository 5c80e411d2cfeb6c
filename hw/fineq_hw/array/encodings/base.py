"""What an encoding says about the array: groups of columns, adder inputs, select lines, encoder, select network, steps.

The columns of a row form groups: single columns, and with encoding `cluster` the three columns of one cluster.
A group turns its stationary activations into slots, which are operands of the row's adder tree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import data

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import STEP_BITS, vector_cycles
from fineq_hw.config import ArrayConfig, name_part

if TYPE_CHECKING:
    from fineq_hw.array.temporal_encoder import TemporalEncoder


@dataclass(frozen=True)
class Slot:
    """An operand of the adder tree: so many bits, worth 2 ** `shift` times as much."""

    bits: int
    shift: int = 0


@dataclass(frozen=True)
class Group:
    """Columns that share select lines: `size` of them from `first` on.

    Attributes:
        first, size: the columns.
        config: the array.
        encoding: that of these columns. Columns that are left over may have another one than the array.
    """

    first: int
    size: int
    config: ArrayConfig
    encoding: Encoding

    @property
    def is_cluster(self) -> bool:
        return self.size > 1

    @property
    def slots(self) -> tuple[Slot, ...]:
        """What the group adds in a step."""
        return self.encoding.slots(self.config)

    @property
    def products_layout(self) -> data.StructLayout:
        """The slots side by side: `slot_0`, `slot_1` and so on."""
        return data.StructLayout({f"slot_{i}": slot.bits for i, slot in enumerate(self.slots)})

    @property
    def lines_layout(self) -> data.StructLayout:
        """Select lines from the encoder to the elements of all rows."""
        return self.encoding.lines_layout(self.config)

    def make_encoder(self) -> TemporalEncoder:
        """What drives the select lines."""
        return self.encoding.make_encoder(self)


@dataclass(frozen=True)
class LongVector:
    """Weight vectors that take more than one step: how to know them, and how many they take.

    Attributes:
        name: of the signal that says so.
        condition: one bit.
        steps: of such a vector.
    """

    name: str
    condition: Value
    steps: int


class Encoding(ABC):
    """One temporal code. The methods' defaults are those of codes that treat every column by itself.

    Attributes:
        name: its name in `fineq.format.temporal.ENCODINGS`, where its pace stands.
        vector_ports: what its encoders must know of the whole vector beside their own weights: ports of the array
            (`ProcessingArray`), one bit each, which they have too.
    """

    name: str
    vector_ports: tuple[str, ...] = ()

    @property
    def name_part(self) -> str:
        """The encoding in module names."""
        return name_part(self.name)

    @property
    def digits(self) -> tuple[int, ...]:
        """Powers of two that a column can contribute in one step, as exponents."""
        return tuple(range(STEP_BITS[self.name]))

    @property
    def largest_step(self) -> int:
        """The most that a column can contribute in one step, as a multiple of its activation."""
        return sum(1 << power for power in self.digits)

    def groups(self, config: ArrayConfig) -> list[Group]:
        """All groups of a row, in the order of their columns."""
        return [Group(column, 1, config, self) for column in range(config.columns)]

    # What a group consists of.

    @abstractmethod
    def slots(self, config: ArrayConfig) -> tuple[Slot, ...]:
        """What a group adds in a step."""

    @abstractmethod
    def lines_layout(self, config: ArrayConfig) -> data.StructLayout:
        """Select lines of a group."""

    @abstractmethod
    def make_encoder(self, group: Group) -> TemporalEncoder:
        """What turns the weights of a group into the select lines."""

    def element_name_part(self, config: ArrayConfig) -> str:
        """The select network in module names: encodings with the same network share their processing elements."""
        return self.name_part

    @abstractmethod
    def select(self, m: Module, config: ArrayConfig, values: list[Value], lines: data.View) -> list[Value]:
        """The select network of a processing element.

        Args:
            m: the element.
            config: the array.
            values: stored activations of the group's columns, two's complement.
            lines: the select lines.

        Returns:
            The complement of each slot (see `ProcessingElement`).
        """

    # What the accumulator starts from in each step. It finds the corrections from widths, digits and shifts.

    def start_slots(self, accumulator_bits: int) -> tuple[Slot, ...]:
        """Operands of the adder tree that hold what a step starts from."""
        return (Slot(accumulator_bits),)

    def start_operands(self, old: Value, partial: Value) -> list[Value]:
        """Complements of these operands, from the old sum and the partial sum; what does not count is 0."""
        return [~(old | partial)]

    def partial_step(self, first: Value, last: Value) -> Value:
        """The step in which a vector takes its partial sums: its `first` or its `last`, one bit each."""
        return first

    # Steps of a vector.

    def long_vectors(self, config: ArrayConfig, magnitudes: data.View) -> Iterator[LongVector]:
        """Vectors with more than one step; where several conditions hold, the last one counts.

        Args:
            config: the array.
            magnitudes: of the vector, one per column.
        """
        for magnitude in range(1, MAX_MAGNITUDE + 1):  # the largest magnitude present decides
            steps = vector_cycles(magnitude, self.name)
            if steps > vector_cycles(magnitude - 1, self.name):
                present = Cat(value >= magnitude for value in magnitudes).any()
                yield LongVector(f"reaches_{magnitude}", present, steps)
