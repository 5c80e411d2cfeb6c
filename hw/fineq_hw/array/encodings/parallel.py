"""Both bits of a magnitude at once, an adder input for each: the plain rival, in a tree of twice the size."""

from __future__ import annotations

from amaranth.hdl import Value
from amaranth.lib import data

from fineq_hw.array.encodings.base import Slot
from fineq_hw.array.encodings.two_digits import TwoDigits
from fineq_hw.cells.select_cells import Choice
from fineq_hw.config import ArrayConfig


class Parallel(TwoDigits):
    """Two slots a column: one takes y or nothing, the other, which counts twice, the same."""

    name = "parallel"

    def slots(self, config: ArrayConfig) -> tuple[Slot, ...]:
        return Slot(config.activation_bits), Slot(config.activation_bits, 1)

    def choices(self, y: list[Value], lines: data.View) -> list[list[Choice]]:
        return [[(y, lines.single, 0)], [(y, lines.double, 0)]]
