"""The paper's code with pulses that may weigh two: 2 takes one pulse, 3 takes two."""

from __future__ import annotations

from amaranth.hdl import Value
from amaranth.lib import data

from fineq_hw.array.encodings.base import Slot
from fineq_hw.array.encodings.two_digits import TwoDigits
from fineq_hw.cells.select_cells import Choice
from fineq_hw.config import ArrayConfig


class TwosUnary(TwoDigits):
    """One slot a column, which takes y, 2y or nothing."""

    name = "2s-unary"

    def slots(self, config: ArrayConfig) -> tuple[Slot, ...]:
        return (Slot(config.activation_bits + 1),)

    def choices(self, y: list[Value], lines: data.View) -> list[list[Choice]]:
        return [[(y, lines.single, 0), (y, lines.double, 1)]]
