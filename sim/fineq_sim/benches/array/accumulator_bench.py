"""Accumulator of one row: signed sums of slots on top of a partial sum, random and at the corners."""

from __future__ import annotations

import cocotb

from fineq.format import MAX_MAGNITUDE
from fineq_hw.array.encodings.registry import encoding_of, row_slots
from fineq_hw.config import ArrayConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.power_up import NEVER
from fineq_sim.bench.testbench import random_source, settle
from fineq_sim.reference.weights import carried, partial_step


class AccumulatorBench(Bench[ArrayConfig]):
    only_while = {"sum": NEVER}
    inputs = ("products_n", "correction", "partial", "hold", "take_partial", "enable")

    def __init__(self, dut):
        super().__init__(dut, salt="steps")
        self.by_column = self.config.sign_handling == "column"
        self.carried = carried(self.config.encoding)
        self.slots = row_slots(self.config)
        self.half = self.config.max_activation_magnitude

    def send(self, activations: list[int], pulses: list[int]) -> None:
        """Inputs of one step: an activation and a pulse of -1, 0 or 1 for each slot (see the docstrings of the RTL)."""
        columns = self.config.columns
        products_n = position = sent = sent_negative = 0
        for slot, x, pulse in zip(self.slots, activations, pulses, strict=True):
            if self.by_column:
                chosen = {0: 0, 1: x + self.half, -1: self.half - 1 - x}[pulse]
            else:
                chosen = x if pulse else 0
            products_n |= (~chosen & ((1 << slot.bits) - 1)) << position
            position += slot.bits
            sent += abs(pulse) << slot.shift
            sent_negative += (pulse < 0) << slot.shift
        correction = encoding_of(self.config).largest_step * columns - sent_negative
        if self.by_column:
            correction += self.half * sent
        else:
            self.drive(negative=sum((pulse < 0) << column for column, pulse in enumerate(pulses)))
        self.drive(products_n=products_n, correction=correction)

    def value(self, activations: list[int], pulses: list[int]) -> int:
        return sum(x * p << slot.shift for slot, x, p in zip(self.slots, activations, pulses, strict=True))

    async def step(self, activations: list[int], pulses: list[int], hold: bool, partial: int | None) -> int:
        """One step; returns the new sum."""
        self.send(activations, pulses)
        noise = random_source(f"{activations}").getrandbits(self.config.accumulator_bits)
        start = noise if partial is None else partial & ((1 << self.config.accumulator_bits) - 1)
        self.drive(hold=int(hold), take_partial=int(partial is not None), partial=start)
        await self.pulse(enable=1)
        await settle()
        return self.dut.sum.value.to_signed()


@cocotb.test()
async def random_steps(dut):
    """Vectors of one to three steps from random partial sums, with idle cycles in between."""
    tb = await AccumulatorBench.begun(dut)
    source = tb.source
    limit = (1 << (tb.config.accumulator_bits - 1)) - 1 - len(tb.slots) * tb.half * 4 * MAX_MAGNITUDE
    for _ in range(200):
        activations = [source.randrange(-tb.half, tb.half) for _ in tb.slots]
        partial = source.choice([None, 0, source.randrange(-limit, limit)])
        steps = source.randint(1, 2 if tb.carried > 1 else MAX_MAGNITUDE)
        expected = 0
        for number in range(steps):
            taken = partial if number == partial_step(tb.config.encoding, steps) else None
            pulses = [source.choice((-1, 0, 1)) for _ in activations]
            expected = tb.carried * expected + (taken or 0) + tb.value(activations, pulses)
            assert await tb.step(activations, pulses, number > 0, taken) == expected
            for _ in range(source.randrange(2)):  # not enabled: the sum stays
                tb.send(activations, [-1] * len(activations))
                await tb.clock()
                await settle()
                assert dut.sum.value.to_signed() == expected, "the sum changed without enable"


@cocotb.test()
async def corners(dut):
    """Largest magnitudes in every slot at once, from the largest partial sums that cannot overflow."""
    tb = await AccumulatorBench.begun(dut)
    steps = 1 if tb.carried > 1 or encoding_of(tb.config).largest_step > 1 else MAX_MAGNITUDE
    room = sum(tb.half << slot.shift for slot in tb.slots) * steps
    limit = (1 << (tb.config.accumulator_bits - 1)) - 1 - room
    for value in (-tb.half, tb.half - 1, 0, -1):
        for pulse in (-1, 0, 1):
            for start in (0, limit, -limit):
                expected = start
                activations, pulses = [value] * len(tb.slots), [pulse] * len(tb.slots)
                for step in range(steps):
                    expected += tb.value(activations, pulses)
                    got = await tb.step(activations, pulses, step > 0, None if step else start)
                    assert got == expected, f"activations {value}, pulses {pulse}, from {start}, step {step}"
