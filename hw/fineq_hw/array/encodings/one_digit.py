"""What the encodings share in which a column adds its activation or nothing in a step."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Value
from amaranth.lib import data

from fineq_hw.array.encodings.base import Encoding, Group, Slot
from fineq_hw.array.temporal_encoder import PulseEncoder
from fineq_hw.cells.select_cells import select_value_n
from fineq_hw.config import ArrayConfig


class OneDigit(Encoding):
    """One slot a column with x, the activation. Two ways of saying what it takes, by `ArrayConfig.sign_handling`:

    * `row`: a line `pulse` selects x or nothing; a line `negative` goes past the element to the accumulator.
    * `column`: the element applies the sign. With u = x with its sign bit inverted, the lines say what becomes of a
      bit of u that is one (`when_one`) and of one that is zero (`when_zero`) in the complement of the slot: (0, 1)
      selects u, (1, 0) selects ~u, (1, 1) nothing.
    """

    def slots(self, config: ArrayConfig) -> tuple[Slot, ...]:
        return (Slot(config.activation_bits),)

    def lines_layout(self, config: ArrayConfig) -> data.StructLayout:
        names = ("pulse", "negative") if config.sign_handling == "row" else ("when_one", "when_zero")
        return data.StructLayout({name: 1 for name in names})

    def make_encoder(self, group: Group) -> OneDigitEncoder:
        return OneDigitEncoder(group)

    def element_name_part(self, config: ArrayConfig) -> str:
        return config.sign_handling

    def select(self, m: Module, config: ArrayConfig, values: list[Value], lines: data.View) -> list[Value]:
        (value,) = values
        if config.sign_handling == "row":
            return [select_value_n(m, "select", len(value), (value, lines.pulse, 0))]
        return [
            Cat(
                # The sign bit is stored as it comes; exchanging its two lines inverts it for nothing.
                *(Mux(bit, lines.when_one, lines.when_zero) for bit in value[:-1]),
                Mux(value[-1], lines.when_zero, lines.when_one),
            )
        ]


class OneDigitEncoder(PulseEncoder):
    """The pulses on the lines of `OneDigit`."""

    def elaborate_lines(self, m: Module, lines: data.View) -> None:
        digit = self.following[0]
        if self.group.config.sign_handling == "row":
            m.d.comb += [lines.pulse.eq(digit.ones), lines.negative.eq(digit.ones & digit.negative)]
        else:
            m.d.comb += [
                lines.when_one.eq(~(digit.ones & ~digit.negative)),
                lines.when_zero.eq(~(digit.ones & digit.negative)),
            ]
