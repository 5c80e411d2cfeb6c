"""Temporal encoders: weights to pulses on the select lines of a group of columns (paper Section IV-C, Fig. 5(c))."""

from __future__ import annotations

from abc import ABC, abstractmethod

from amaranth.hdl import Cat, Module, Mux, Signal, ValueLike
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import PULSES
from fineq_hw.array.encodings.base import Encoding, Group
from fineq_hw.lib.core_ports import weight_layout
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis

DIGIT_NAMES: tuple[str, ...] = ("ones", "twos")
"""Digits of what a column contributes in a step, the lowest first."""


def digits_layout(encoding: Encoding) -> data.StructLayout:
    """What a column contributes in one step: `ones` and `twos`, its digits, and their common sign."""
    return data.StructLayout({name: 1 for name in DIGIT_NAMES[: len(encoding.digits)]} | {"negative": 1})


class TemporalEncoder(VerilogComponent, ABC):
    """Encoder of one group: what is due in the next step, in front of registered select lines.

    The paper's encoder compares a value with a counter. Here the comparison is made when the weight comes in, so
    that every line to the array is the output of a register and what the pulses add up to can be counted one cycle
    ahead. Pulses run out by themselves: behind the last one the lines stay idle.

    Ports:
        weights, load: the weights to send, taken at the clock edge when `load` is high.
        single_step (if in `Encoding.vector_ports`): with `load`: the whole vector takes one step.
        update: at the clock edge, take the weights if `load` is high, else go on to the next step.
        lines: select lines of the current step, `Group.lines_layout`.
        following: digits of the step that begins at the next clock edge, if it begins there, by column.
    """

    KIND = "temporal_encoder"
    ROLE = Role(CoreBlock.TEMPORAL_ENCODERS, Synthesis.UNIT)

    def __init__(self, group: Group) -> None:
        self.group = group
        super().__init__(
            {
                "weights": In(data.ArrayLayout(weight_layout, group.size)),
                "load": In(1),
                **{name: In(1) for name in group.encoding.vector_ports},
                "update": In(1),
                "lines": Out(group.lines_layout),
                "following": Out(data.ArrayLayout(digits_layout(group.encoding), group.size)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.group.encoding.name, self.group.config.sign_handling)

    def elaborate(self, platform) -> Module:
        m = Module()
        self.elaborate_digits(m)
        for column in range(self.group.size):
            # A zero keeps the sign of the weight before it, so that nothing toggles for its sake.
            weight, following = self.weights[column], self.following[column]
            sign = Signal(name=f"sign_{column}", reset_less=True)
            m.d.comb += following.negative.eq(Mux(self.load & (weight.magnitude != 0), weight.sign, sign))
            with m.If(self.update):
                m.d.sync += sign.eq(following.negative)
        following_lines = Signal(self.group.lines_layout)
        self.elaborate_lines(m, following_lines)
        registers = Signal(self.group.lines_layout, reset_less=True)
        with m.If(self.update):
            m.d.sync += registers.eq(following_lines)
        m.d.comb += self.lines.eq(registers)
        return m

    @abstractmethod
    def elaborate_digits(self, m: Module) -> None:
        """Drive ones and twos of `following`."""

    @abstractmethod
    def elaborate_lines(self, m: Module, lines: data.View) -> None:
        """Drive the select lines of the step to come, which ask for what `following` says."""


class PulseEncoder(TemporalEncoder):
    """Encoder of one column whose pulses stand in `fineq.format.temporal.PULSES`: a shift register of what is due.

    An encoding adds the select lines that its pulses go to (the paper's: `encodings.one_digit.OneDigitEncoder`).
    """

    def elaborate_digits(self, m: Module) -> None:
        weight, following = self.weights[0], self.following[0]
        width = len(self.group.encoding.digits)
        steps = max(map(len, PULSES[self.group.encoding.name]))

        # Contributions of the incoming weight, first step in the lowest bits.
        incoming = Signal(steps * width)
        with m.Switch(weight.magnitude):
            for magnitude in range(MAX_MAGNITUDE + 1):
                with m.Case(magnitude):
                    m.d.comb += incoming.eq(self.code(magnitude))

        due = Signal((steps - 1) * width, reset_less=True) if steps > 1 else None
        if due is not None:
            with m.If(self.update):
                m.d.sync += due.eq(Mux(self.load, incoming[width:], due >> width))
        now = Mux(self.load, incoming[:width], due[:width] if due is not None else 0)
        m.d.comb += Cat(following.ones, *([following.twos] if width > 1 else [])).eq(now)

    def code(self, magnitude: int) -> ValueLike:
        """What a weight of this magnitude contributes, one step behind the other."""
        width = len(self.group.encoding.digits)
        pulses = PULSES[self.group.encoding.name]
        return sum(value << width * step for step, value in enumerate(pulses[magnitude]))
