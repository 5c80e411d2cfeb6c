"""Temporal encoders: weights to pulses on the select lines of a group of columns (paper Section IV-C, Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from fineq.format import MAGNITUDE_BITS, MAX_MAGNITUDE
from fineq.format.temporal import PULSES
from fineq_hw.array.encodings import Group, digits, name_part
from fineq_hw.config import ArrayConfig
from fineq_hw.lib.core_ports import weight_layout


def digits_layout(config: ArrayConfig) -> data.StructLayout:
    """What a column contributes in one step: `ones` and `twos`, its digits, and their common sign."""
    return data.StructLayout({name: 1 for name in ("ones", "twos")[: len(digits(config))]} | {"negative": 1})


class TemporalEncoder(wiring.Component):
    """Encoder of one group: a shift register of the pulses that are due, in front of registered select lines.

    The paper's encoder compares a value with a counter. Here the comparison is made when the weight comes in, so
    that every line to the array is the output of a register and what the pulses add up to can be counted one cycle
    ahead. Pulses run out by themselves: behind the last one the lines stay idle.

    Ports:
        weights, load: the weights to send, taken at the clock edge when `load` is high.
        single_step (`bitplane` only): with `load`: the whole vector has no high bit, send low bits at once.
        update: at the clock edge, take the weights if `load` is high, else go on to the next step.
        lines: select lines of the current step (see `ProcessingElement`).
        following: digits of the step that begins at the next clock edge, if it begins there, by column.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        super().__init__(
            {
                "weights": In(data.ArrayLayout(weight_layout, group.size)),
                "load": In(1),
                **({"single_step": In(1)} if group.config.encoding == "bitplane" else {}),
                "update": In(1),
                "lines": Out(group.lines_layout),
                "following": Out(data.ArrayLayout(digits_layout(group.config), group.size)),
            }
        )

    @staticmethod
    def module_name(group: Group) -> str:
        return f"fineq_temporal_encoder_{name_part(group.config)}_{group.config.sign_handling}"

    def elaborate(self, platform) -> Module:
        m = Module()
        self._elaborate_digits(m)
        for column in range(self.group.size):
            # A zero keeps the sign of the weight before it, so that nothing toggles for its sake.
            weight, following = self.weights[column], self.following[column]
            sign = Signal(name=f"sign_{column}", reset_less=True)
            m.d.comb += following.negative.eq(Mux(self.load & (weight.magnitude != 0), weight.sign, sign))
            with m.If(self.update):
                m.d.sync += sign.eq(following.negative)
        following_lines = Signal(self.group.lines_layout)
        self._elaborate_lines(m, following_lines)
        registers = Signal(self.group.lines_layout, reset_less=True)
        with m.If(self.update):
            m.d.sync += registers.eq(following_lines)
        m.d.comb += self.lines.eq(registers)
        return m

    def _elaborate_digits(self, m: Module) -> None:
        """Ones and twos of `following`."""
        weight, following = self.weights[0], self.following[0]
        config = self.group.config
        powers = digits(config)
        pulses = PULSES[config.encoding]
        steps = max(map(len, pulses))
        width = len(powers)

        # Contributions of the incoming weight, first step in the lowest bits.
        incoming = Signal(steps * width)
        with m.Switch(weight.magnitude):
            for magnitude in range(MAX_MAGNITUDE + 1):
                with m.Case(magnitude):
                    code = sum(value << width * step for step, value in enumerate(pulses[magnitude]))
                    if config.encoding == "bitplane":
                        code = Mux(self.single_step, magnitude & 1, _planes(magnitude))
                    m.d.comb += incoming.eq(code)

        due = Signal((steps - 1) * width, reset_less=True) if steps > 1 else None
        if due is not None:
            with m.If(self.update):
                m.d.sync += due.eq(Mux(self.load, incoming[width:], due >> width))
        now = Mux(self.load, incoming[:width], due[:width] if due is not None else 0)
        m.d.comb += Cat(following.ones, *([following.twos] if width > 1 else [])).eq(now)

    def _elaborate_lines(self, m: Module, lines: data.View) -> None:
        digit = self.following[0]
        if self.group.config.sign_handling == "row":
            m.d.comb += [lines.pulse.eq(digit.ones), lines.negative.eq(digit.ones & digit.negative)]
        elif digits(self.group.config) == (0,):
            m.d.comb += [
                lines.when_one.eq(~(digit.ones & ~digit.negative)),
                lines.when_zero.eq(~(digit.ones & digit.negative)),
            ]
        else:
            m.d.comb += [
                lines.negative.eq(digit.negative),
                lines.single.eq(digit.ones),
                lines.double.eq(digit.twos),
            ]


class ClusterEncoder(TemporalEncoder):
    """Encoder of the three columns of a cluster (encoding `cluster`).

    Low bits go to the column's own slot. With a high bit, one weight is zero (the format sees to that), and its slot
    is free for a doubled activation. A second one goes to the slot of a weight that has no low bit. If there is none,
    both weights being 3, it waits for a second step.
    """

    def _elaborate_digits(self, m: Module) -> None:
        magnitudes = [Signal(MAGNITUDE_BITS, name=f"magnitude_{i}") for i in range(self.group.size)]
        m.d.comb += [magnitude.eq(weight.magnitude) for magnitude, weight in zip(magnitudes, self.weights, strict=True)]
        zero_of_others = [magnitudes[0] == 0, (magnitudes[0] != 0) & (magnitudes[1] == 0)]
        zero_of_others.append(~zero_of_others[0] & ~zero_of_others[1])
        first: dict[str, Value] = {}
        second: dict[str, Signal] = {}
        self._lines = {}
        for zero, is_zero in enumerate(zero_of_others):
            a, b = (column for column in range(self.group.size) if column != zero)
            (low_a, high_a), (low_b, high_b) = magnitudes[a], magnitudes[b]
            chosen = {
                f"double_{a}_in_{zero}": high_a & (~high_b | low_b),
                f"double_{b}_in_{zero}": high_b & ~(high_a & low_b),
                f"double_{a}_in_{b}": high_a & high_b & ~low_b,
                f"double_{b}_in_{a}": high_a & high_b & low_b & ~low_a,
            }
            for name, value in chosen.items():
                first[name] = first[name] | (is_zero & value) if name in first else is_zero & value
            waits = Signal(name=f"waits_{b}", reset_less=True)
            with m.If(self.update):
                m.d.sync += waits.eq(self.load & is_zero & high_a & low_a & high_b & low_b)
            second[f"double_{b}_in_{a}"] = waits
        for name, value in first.items():
            line = Signal(name=f"following_{name}")
            m.d.comb += line.eq(Mux(self.load, value, second.get(name, 0)))
            self._lines[name] = line
        for column, magnitude in enumerate(magnitudes):
            doubles = [line for name, line in self._lines.items() if name.startswith(f"double_{column}_")]
            m.d.comb += [
                self.following[column].ones.eq(self.load & magnitude[0]),
                self.following[column].twos.eq(Cat(doubles).any()),
            ]

    def _elaborate_lines(self, m: Module, lines: data.View) -> None:
        m.d.comb += [
            lines.negative.eq(Cat(digit.negative for digit in self._digits())),
            lines.single.eq(Cat(digit.ones for digit in self._digits())),
        ]
        m.d.comb += [lines[name].eq(line) for name, line in self._lines.items()]

    def _digits(self) -> list[data.View]:
        return [self.following[i] for i in range(self.group.size)]


def make_encoder(group: Group) -> TemporalEncoder:
    """The encoder of a group."""
    return ClusterEncoder(group) if group.is_cluster else TemporalEncoder(group)


def _planes(magnitude: int) -> int:
    """Bits of a magnitude in the order in which they are sent: the high one first."""
    return magnitude >> 1 | (magnitude & 1) << 1
