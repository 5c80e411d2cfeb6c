"""Accumulator of one row: signed sums of products on top of a partial sum, random and at the corners."""

from __future__ import annotations

import cocotb
from cocotb.triggers import RisingEdge

from fineq.format import MAX_MAGNITUDE
from fineq_sim.bits import pack
from fineq_sim.payloads import find_config
from fineq_sim.testbench import parameters, random_source, reset, settle, start_clock


class TB:
    def __init__(self, dut):
        self.dut = dut
        self.config = find_config(parameters()["config"])
        self.by_column = self.config.sign_handling == "column"
        self.bits = self.config.activation_bits
        self.half = 1 << (self.bits - 1)
        for port in (dut.products_n, dut.correction, dut.partial, dut.hold, dut.take_partial, dut.enable):
            port.value = 0
        start_clock(dut)

    def drive(self, activations: list[int], pulses: list[int]) -> None:
        """Inputs of one step: pulses are -1, 0 or 1 for each column (see the docstrings of the RTL)."""
        columns, offset = self.config.columns, self.half
        negatives = sum(pulse < 0 for pulse in pulses)
        if self.by_column:
            chosen = {0: lambda x: 0, 1: lambda x: x + offset, -1: lambda x: offset - 1 - x}
            products = [chosen[pulse](x) for x, pulse in zip(activations, pulses, strict=True)]
            correction = offset * sum(pulse != 0 for pulse in pulses) + columns - negatives
        else:
            products = [x if pulse else 0 for x, pulse in zip(activations, pulses, strict=True)]
            correction = columns - negatives
            self.dut.negative.value = sum((pulse < 0) << column for column, pulse in enumerate(pulses))
        self.dut.products_n.value = pack([~product for product in products], self.bits)
        self.dut.correction.value = correction

    async def step(self, activations: list[int], pulses: list[int], start: int | None) -> int:
        """One step; `start` is the partial sum, or None to go on from the old sum. Returns the new sum."""
        self.drive(activations, pulses)
        self.dut.hold.value = int(start is None)
        # A partial sum of zero arrives as `take_partial` low in half of the cases.
        self.dut.take_partial.value = int(start not in (None, 0))
        noise = random_source(f"{activations}").getrandbits(self.config.accumulator_bits)
        self.dut.partial.value = noise if start in (None, 0) else start & ((1 << self.config.accumulator_bits) - 1)
        self.dut.enable.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.enable.value = 0
        await settle()
        return self.dut.sum.value.to_signed()


@cocotb.test()
async def random_steps(dut):
    """Vectors of one to three steps from random partial sums, with idle cycles in between."""
    tb = TB(dut)
    source = random_source("steps")
    await reset(dut)
    limit = (1 << (tb.config.accumulator_bits - 1)) - 1 - tb.config.columns * tb.half * MAX_MAGNITUDE
    for _ in range(200):
        activations = [source.randrange(-tb.half, tb.half) for _ in range(tb.config.columns)]
        expected = source.choice([0, source.randrange(-limit, limit)])
        start: int | None = expected
        for _ in range(source.randint(1, MAX_MAGNITUDE)):
            pulses = [source.choice((-1, 0, 1)) for _ in activations]
            expected += sum(x * pulse for x, pulse in zip(activations, pulses, strict=True))
            assert await tb.step(activations, pulses, start) == expected
            start = None
            for _ in range(source.randrange(2)):  # not enabled: the sum stays
                tb.drive(activations, [-1] * tb.config.columns)
                await RisingEdge(dut.clk)
                await settle()
                assert dut.sum.value.to_signed() == expected, "the sum changed without enable"


@cocotb.test()
async def corners(dut):
    """Largest magnitudes on every column at once, from the largest partial sums that cannot overflow."""
    tb = TB(dut)
    await reset(dut)
    columns = tb.config.columns
    limit = (1 << (tb.config.accumulator_bits - 1)) - 1 - columns * tb.half * MAX_MAGNITUDE
    for value in (-tb.half, tb.half - 1, 0, -1):
        for pulse in (-1, 0, 1):
            for start in (0, limit, -limit):
                expected = start
                for step in range(MAX_MAGNITUDE):
                    expected += columns * value * pulse
                    got = await tb.step([value] * columns, [pulse] * columns, start if step == 0 else None)
                    assert got == expected, f"activations {value}, pulses {pulse}, from {start}, step {step}"
