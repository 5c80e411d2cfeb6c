"""What the encodings share in which a column can add its activation once and twice, by itself."""

from __future__ import annotations

from abc import abstractmethod

from amaranth.hdl import Module, Value
from amaranth.lib import data

from fineq_hw.array.encodings.base import Encoding, Group
from fineq_hw.array.temporal_encoder import PulseEncoder
from fineq_hw.cells.select_cells import Choice, apply_sign, select_value_n
from fineq_hw.config import ArrayConfig


class TwoDigits(Encoding):
    """Lines of a column: `single` and `double` ask for y and 2y; y is ~u if `negative`, else u.

    u is the activation with its sign bit inverted. The element applies the sign, because what it adds may be doubled.
    """

    def lines_layout(self, config: ArrayConfig) -> data.StructLayout:
        return data.StructLayout({"negative": 1, "single": 1, "double": 1})

    def make_encoder(self, group: Group) -> TwoDigitEncoder:
        return TwoDigitEncoder(group)

    def select(self, m: Module, config: ArrayConfig, values: list[Value], lines: data.View) -> list[Value]:
        y = apply_sign(m, "sign_0", values[0], lines.negative)
        return [
            select_value_n(m, f"select_{number}", slot.bits, *choices)
            for number, (slot, choices) in enumerate(zip(self.slots(config), self.choices(y, lines), strict=True))
        ]

    @abstractmethod
    def choices(self, y: list[Value], lines: data.View) -> list[list[Choice]]:
        """For each slot what it can take."""


class TwoDigitEncoder(PulseEncoder):
    """The pulses on the lines of `TwoDigits`."""

    def elaborate_lines(self, m: Module, lines: data.View) -> None:
        digit = self.following[0]
        m.d.comb += [
            lines.negative.eq(digit.negative),
            lines.single.eq(digit.ones),
            lines.double.eq(digit.twos),
        ]
