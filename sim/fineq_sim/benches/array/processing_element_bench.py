"""Processing element: every activation with every select (of a cluster: random ones)."""

from __future__ import annotations

from itertools import product

import cocotb

from fineq_hw.array.encodings.registry import groups
from fineq_hw.config import ArrayConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.power_up import NEVER
from fineq_sim.bench.testbench import random_source, settle
from fineq_sim.reference.bits import pack

Choice = tuple[tuple[int, int], ...]
"""What a slot takes: nothing, or the activation of a column and a shift."""


class ProcessingElementBench(Bench[ArrayConfig]):
    only_while = {"products_n": NEVER}
    inputs = ("load", "activations", "lines")

    def __init__(self, dut):
        super().__init__(dut)
        self.group = groups(self.config)[0]
        self.bits = self.config.activation_bits
        self.half = self.config.max_activation_magnitude
        self.mask = (1 << self.bits) - 1

    @property
    def slot_choices(self) -> list[list[Choice]]:
        """For each slot what it may take (see the component's docstring)."""
        match self.config.encoding:
            case "2s-unary":
                return [[(), ((0, 0),), ((0, 1),)]]
            case "parallel":
                return [[(), ((0, 0),)], [(), ((0, 0),)]]
            case "cluster":
                columns = range(self.group.size)
                return [[(), ((j, 0),), *(((k, 1),) for k in columns if k != j)] for j in columns]
        return [[(), ((0, 0),)]]

    def lines(self, negative: tuple[int, ...], choices: tuple[Choice, ...]) -> int:
        """The select lines that ask for the choices."""
        one, encoding = bool(choices[0]), self.config.encoding
        if self.config.sign_handling == "row":
            values = {"pulse": one, "negative": one and negative[0]}
        elif encoding in ("unary", "bitplane"):
            values = {"when_one": not (one and not negative[0]), "when_zero": not (one and negative[0])}
        elif encoding == "2s-unary":
            values = {"negative": negative[0], "single": choices[0] == ((0, 0),), "double": choices[0] == ((0, 1),)}
        elif encoding == "parallel":
            values = {"negative": negative[0], "single": one, "double": bool(choices[1])}
        else:
            values = {"negative": sum(bit << i for i, bit in enumerate(negative)), "single": 0}
            for slot, choice in enumerate(choices):
                for column, shift in choice:
                    if shift:
                        values[f"double_{column}_in_{slot}"] = 1
                    else:
                        values["single"] |= 1 << slot
        return sum(int(values.get(name, 0)) << field.offset for name, field in self.group.lines_layout)

    def expected(self, activations: list[int], negative: tuple[int, ...], choices: tuple[Choice, ...]) -> int:
        """All slots side by side, complemented."""
        result = position = 0
        for slot, choice in zip(self.group.slots, choices, strict=True):
            chosen = 0
            for column, shift in choice:
                if self.config.sign_handling == "row":
                    chosen = activations[column] & self.mask
                else:
                    above = activations[column] + self.half
                    chosen = (self.mask - above if negative[column] else above) << shift
            result |= (~chosen & ((1 << slot.bits) - 1)) << position
            position += slot.bits
        return result

    async def load(self, activations: list[int]) -> None:
        self.drive(activations=pack(activations, self.bits))
        await self.pulse(load=1)
        await settle()

    async def check(self, activations: list[int], negative: tuple[int, ...], choices: tuple[Choice, ...]) -> None:
        self.drive(lines=self.lines(negative, choices))
        got = await self.read_settled("products_n")
        assert got == self.expected(activations, negative, choices), f"{activations}, {negative}, {choices}: {got:x}"


@cocotb.test()
async def every_activation_and_select(dut):
    tb = await ProcessingElementBench.begun(dut)
    source = random_source("select")
    for activation in range(-tb.half, tb.half):
        others = [source.randrange(-tb.half, tb.half) for _ in range(tb.group.size - 1)]
        activations = [activation, *others]
        source.shuffle(activations)
        await tb.load(activations)
        for choices in product(*tb.slot_choices):
            signs = list(product((0, 1), repeat=tb.group.size))
            for negative in signs if len(signs) == 2 else [source.choice(signs)]:
                await tb.check(activations, negative, choices)


@cocotb.test()
async def keeps_its_activation(dut):
    """Only `load` changes what is stored, whatever stands on the activation port."""
    tb = await ProcessingElementBench.begun(dut)
    source = random_source("keep")
    for _ in range(50):
        kept = [source.randrange(-tb.half, tb.half) for _ in range(tb.group.size)]
        await tb.load(kept)
        for _ in range(2):
            dut.activations.value = source.getrandbits(tb.bits * tb.group.size)
            await tb.clock()
            choices = tuple(source.choice(options) for options in tb.slot_choices)
            await tb.check(kept, tuple(source.randrange(2) for _ in kept), choices)
