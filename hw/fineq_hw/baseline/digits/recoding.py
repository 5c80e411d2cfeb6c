"""Weights as signed digits, and the digits as select lines."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.array.encodings.base import Slot
from fineq_hw.config import MacConfig
from fineq_hw.lib.core_ports import weight_layout
from fineq_hw.lib.hierarchy import CombinationalComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis

LINES = data.StructLayout({"negative": 1, "single": 1, "double": 1})
"""Select lines of a digit: add y, add 2y; y is the activation, or its negation if `negative`."""


@dataclass(frozen=True)
class Digit:
    """A signed digit of a weight, worth 2 ** `shift` times as much.

    Attributes:
        shift: as a power of two.
        exclusive: y and 2y are never asked for at once (Booth digits, -2 to 2), so one adder input serves both. Else
            (a magnitude of two bits) they are two inputs.
    """

    shift: int
    exclusive: bool

    def slots(self, activation_bits: int) -> tuple[Slot, ...]:
        """Operands that the digit gives to the adder tree."""
        if self.exclusive:
            return (Slot(activation_bits + 1, self.shift),)
        return Slot(activation_bits, self.shift), Slot(activation_bits, self.shift + 1)


def digits_of(config: MacConfig) -> tuple[Digit, ...]:
    """The digits of a weight, the lowest first: radix-4 Booth for two's complement, the magnitude's bits else."""
    if config.signed_weights:
        return tuple(Digit(shift, exclusive=True) for shift in range(0, config.weight_bits, 2))
    return (Digit(0, exclusive=False),)


def lines_layout(config: MacConfig) -> data.ArrayLayout:
    """Select lines of a column: those of each digit."""
    return data.ArrayLayout(LINES, len(digits_of(config)))


def column_slots(config: MacConfig) -> tuple[Slot, ...]:
    """Adder inputs of one column."""
    return tuple(slot for digit in digits_of(config) for slot in digit.slots(config.activation_bits))


class Recoder(CombinationalComponent):
    """A weight to the select lines of its digits. Minus zero asks for nothing.

    Ports:
        weight: two's complement, or `weight_layout` with 3 bits.
        lines: `lines_layout`.
    """

    KIND = "mac_recoder"
    ROLE = Role(CoreBlock.TEMPORAL_ENCODERS, Synthesis.UNIT)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        weight = signed(config.weight_bits) if config.signed_weights else weight_layout
        super().__init__({"weight": In(weight), "lines": Out(lines_layout(config))})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.weight_bits,)

    def elaborate(self, platform) -> Module:
        m = Module()
        if not self.config.signed_weights:
            magnitude = self.weight.magnitude
            m.d.comb += [
                self.lines[0].negative.eq(self.weight.sign),
                self.lines[0].single.eq(magnitude[0]),
                self.lines[0].double.eq(magnitude[1]),
            ]
            return m
        bits: Value = Cat(Const(0, 1), self.weight)  # a Booth digit looks at the bit below its two
        for number, digit in enumerate(digits_of(self.config)):
            below, low, high = (bits[digit.shift + place] for place in range(3))
            m.d.comb += [
                self.lines[number].negative.eq(high),
                self.lines[number].single.eq(below ^ low),
                self.lines[number].double.eq(Cat(below, low, high).matches("011", "100")),
            ]
        return m
