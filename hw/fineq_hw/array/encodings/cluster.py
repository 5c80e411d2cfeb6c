"""Three columns that share their adder inputs, as the format's clusters allow (docs/hardware/array.md#encodings)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import reduce
from itertools import combinations, permutations
from operator import or_
from typing import NamedTuple

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from fineq.format import CLUSTER_WEIGHTS, MAGNITUDE_BITS, MAX_MAGNITUDE
from fineq.format.temporal import MAX_CYCLES
from fineq_hw.array.encodings.base import Encoding, Group, LongVector, Slot
from fineq_hw.array.encodings.parallel import Parallel
from fineq_hw.array.temporal_encoder import TemporalEncoder
from fineq_hw.cells.select_cells import apply_sign, select_value_n
from fineq_hw.config import ArrayConfig

COLUMNS = range(CLUSTER_WEIGHTS)
"""The columns of a cluster, and its slots: every column has one of its own."""


class Loan(NamedTuple):
    """The doubled activation of `column` in the slot of another column, `slot`."""

    column: int
    slot: int

    @property
    def line(self) -> str:
        """Name of its select line."""
        return f"double_{self.column}_in_{self.slot}"


LOANS: tuple[Loan, ...] = tuple(Loan(column, slot) for column, slot in permutations(COLUMNS, 2))
"""All that the select network knows."""


class Cluster(Encoding):
    """A slot takes its own column's y, or 2y of one of the two other columns, or nothing.

    Lines of a group: `negative` and `single`, one bit per column, and one line for each of `LOANS`. As in `TwoDigits`,
    y is ~u if `negative`, else u, and u is the activation with its sign bit inverted.
    """

    name = "cluster"

    def groups(self, config: ArrayConfig) -> list[Group]:
        """Whole clusters; columns that are left over stand alone, with slots for both digits of their own."""
        whole = config.columns // CLUSTER_WEIGHTS * CLUSTER_WEIGHTS
        clusters = [Group(first, CLUSTER_WEIGHTS, config, self) for first in range(0, whole, CLUSTER_WEIGHTS)]
        return clusters + [Group(column, 1, config, Parallel()) for column in range(whole, config.columns)]

    def slots(self, config: ArrayConfig) -> tuple[Slot, ...]:
        return (Slot(config.activation_bits + 1),) * CLUSTER_WEIGHTS

    def lines_layout(self, config: ArrayConfig) -> data.StructLayout:
        per_column = {"negative": CLUSTER_WEIGHTS, "single": CLUSTER_WEIGHTS}
        return data.StructLayout(per_column | {loan.line: 1 for loan in LOANS})

    def make_encoder(self, group: Group) -> ClusterEncoder:
        return ClusterEncoder(group)

    def select(self, m: Module, config: ArrayConfig, values: list[Value], lines: data.View) -> list[Value]:
        y = [apply_sign(m, f"sign_{column}", values[column], lines.negative[column]) for column in COLUMNS]
        slots_n = []
        for number, slot in enumerate(self.slots(config)):
            own = (y[number], lines.single[number], 0)
            others = [(y[loan.column], lines[loan.line], 1) for loan in LOANS if loan.slot == number]
            slots_n.append(select_value_n(m, f"select_{number}", slot.bits, own, *others))
        return slots_n

    def long_vectors(self, config: ArrayConfig, magnitudes: data.View) -> Iterator[LongVector]:
        """Those with a cluster in which two of the three weights have the largest magnitude."""
        twins = []
        for group in self.groups(config):
            if group.is_cluster:
                largest = [magnitudes[group.first + column] == MAX_MAGNITUDE for column in COLUMNS]
                twins.append(Cat(a & b for a, b in combinations(largest, 2)).any())
        yield LongVector("twins", Cat(twins).any(), MAX_CYCLES[self.name])


class ClusterEncoder(TemporalEncoder):
    """Encoder of the three columns of a cluster.

    Low bits go to the column's own slot. With a high bit, one weight is zero (the format sees to that); call its column
    z and the other two a and b, a before b. The slot of z is free, and so is that of a weight without a low bit:

    ====================  ===============  ===============
    magnitudes            2a goes to slot  2b goes to slot
    ====================  ===============  ===============
    only a has a high bit z
    only b has a high bit                  z
    b is 2                b                z
    a is 2, b is 3        z                a
    both are 3            z                a, in a second step
    ====================  ===============  ===============

    Attributes:
        following_loans: for each of `LOANS`, whether it is made in the step that begins at the next clock edge.
    """

    def __init__(self, group: Group) -> None:
        super().__init__(group)
        self.following_loans = {loan: Signal(name=f"following_{loan.line}") for loan in LOANS}

    def elaborate_digits(self, m: Module) -> None:
        magnitudes = [Signal(MAGNITUDE_BITS, name=f"magnitude_{column}") for column in COLUMNS]
        m.d.comb += [magnitudes[column].eq(self.weights[column].magnitude) for column in COLUMNS]

        first_step: dict[Loan, list[Value]] = defaultdict(list)  # lent if one of the values is high
        second_step: dict[Loan, Value] = {}
        for z, is_z in enumerate(_first_zero(magnitudes)):
            a, b = (column for column in COLUMNS if column != z)
            (low_a, high_a), (low_b, high_b) = magnitudes[a], magnitudes[b]
            first_step[Loan(a, z)].append(is_z & (high_a & (~high_b | low_b)))
            first_step[Loan(b, z)].append(is_z & (high_b & ~(high_a & low_b)))
            first_step[Loan(a, b)].append(is_z & (high_a & high_b & ~low_b))
            first_step[Loan(b, a)].append(is_z & (high_a & high_b & low_b & ~low_a))
            waits = Signal(name=f"waits_{b}", reset_less=True)
            with m.If(self.update):
                m.d.sync += waits.eq(self.load & is_z & high_a & low_a & high_b & low_b)
            second_step[Loan(b, a)] = waits

        for loan, asked in first_step.items():
            m.d.comb += self.following_loans[loan].eq(Mux(self.load, reduce(or_, asked), second_step.get(loan, 0)))
        for column in COLUMNS:
            lent = [signal for loan, signal in self.following_loans.items() if loan.column == column]
            m.d.comb += [
                self.following[column].ones.eq(self.load & magnitudes[column][0]),
                self.following[column].twos.eq(Cat(lent).any()),
            ]

    def elaborate_lines(self, m: Module, lines: data.View) -> None:
        m.d.comb += [
            lines.negative.eq(Cat(self.following[column].negative for column in COLUMNS)),
            lines.single.eq(Cat(self.following[column].ones for column in COLUMNS)),
        ]
        m.d.comb += [lines[loan.line].eq(signal) for loan, signal in self.following_loans.items()]


def _first_zero(magnitudes: list[Signal]) -> list[Value]:
    """For each column: its magnitude is the first zero of the three.

    Where none is zero, it is the last column's turn; no weight has a high bit then, so nothing comes of it.
    """
    first, second = magnitudes[0] == 0, (magnitudes[0] != 0) & (magnitudes[1] == 0)
    return [first, second, ~first & ~second]
