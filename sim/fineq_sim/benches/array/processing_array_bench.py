"""Processing array: stationary activations, broadcast weights, stepped by hand."""

from __future__ import annotations

import cocotb
import numpy as np

from fineq.format import CLUSTER_WEIGHTS, MAX_MAGNITUDE, OUTLIER_BITS
from fineq.format.temporal import array_cycles
from fineq_hw.config import ArrayConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.power_up import NEVER
from fineq_sim.bench.testbench import random_source
from fineq_sim.reference.bits import pack, unpack
from fineq_sim.reference.weights import carried, make_storable, partial_step, step_values, sums, to_weight_field


class ProcessingArrayBench(Bench[ArrayConfig]):
    only_while = {"sums": NEVER}
    inputs = (
        "activations",
        "load",
        "weights",
        "load_weights",
        "single_step",
        "hold",
        "take_partial",
        "enable",
        "partials",
    )

    def __init__(self, dut):
        super().__init__(dut)
        self.half = self.config.max_activation_magnitude
        self.rows = [[0] * self.config.columns for _ in range(self.config.rows)]
        self.longest_pause = 0
        """Cycles without a step before each, at most."""

    async def pause(self) -> None:
        """Nothing happens, whatever weights and partial sums are offered."""
        for _ in range(self.source.randint(0, self.longest_pause)):
            for port in ("weights", "partials", "activations", "single_step", "hold", "take_partial"):
                self.drive(**{port: self.source.getrandbits(len(getattr(self.dut, port)))})
            await self.clock()

    async def load_row(self, row: int, values: list[int]) -> None:
        self.rows[row] = values
        self.drive(activations=pack(values, self.config.activation_bits))
        await self.pulse(load=1 << row)

    def storable(self, weights: list[int], source) -> list[int]:
        """The weights, or what the format can hold of them if the encoding depends on that."""
        if self.config.encoding != "cluster":
            return weights
        places = self.config.line_order[: self.config.columns]
        return make_storable(
            weights, places, [source.randrange(CLUSTER_WEIGHTS) for _ in range(self.config.line_weights)]
        )

    async def load_weights(self, weights: list[int], single_step: bool) -> None:
        self.drive(single_step=int(single_step))
        await self.pulse(weights=pack([to_weight_field(weight) for weight in weights], OUTLIER_BITS), load_weights=1)

    async def step(self, number: int, steps: int, partials: list[int] | None = None) -> list[int]:
        """Step `number` of `steps`."""
        await self.pause()
        taking = number == partial_step(self.config.encoding, steps)
        bits, rows = self.config.accumulator_bits, self.config.rows
        self.drive(single_step=int(steps == 1), hold=int(number > 0), take_partial=int(taking and partials is not None))
        self.drive(partials=pack(partials or [0] * rows, bits))
        await self.pulse(enable=1)
        return unpack(await self.read_settled("sums"), bits, rows, signed=True)

    async def vector(self, weights: list[int], early: bool = True, partials: list[int] | None = None) -> list[int]:
        """All steps of a weight vector; where the encoding is defined per weight, the sum is checked in each."""
        encoding = self.config.encoding
        steps = int(array_cycles(np.array([weights]), encoding, early)[0])
        await self.load_weights(weights, steps == 1)
        sent = None if encoding == "cluster" else [step_values(weight, encoding, steps) for weight in weights]
        so_far = [0] * self.config.columns
        for number in range(steps):
            got = await self.step(number, steps, partials)
            if sent is not None:
                so_far = [
                    carried(encoding) * before + values[number] for before, values in zip(so_far, sent, strict=True)
                ]
                taken = partials if number >= partial_step(encoding, steps) else None
                assert got == sums(so_far, self.rows, taken), f"weights {weights}, step {number} of {steps}"
        return got


@cocotb.test()
@cocotb.parametrize(longest_pause=[0, 3])
async def random_vectors(dut, longest_pause):
    """Steps one behind the other, and with pauses before any of them, in which nothing may be lost or taken."""
    tb = await ProcessingArrayBench.begun(dut)
    tb.longest_pause = longest_pause
    source = random_source("array")
    for number in range(60):
        for row in range(tb.config.rows):
            if number == 0 or source.random() < 0.3:
                await tb.load_row(row, [source.randrange(-tb.half, tb.half) for _ in range(tb.config.columns)])
        largest = source.randint(0, MAX_MAGNITUDE)
        weights = tb.storable([source.randint(-largest, largest) for _ in range(tb.config.columns)], source)
        partials = source.choice([None, [source.randrange(-(1 << 18), 1 << 18) for _ in range(tb.config.rows)]])
        got = await tb.vector(weights, source.random() < 0.7, partials)
        assert got == sums(weights, tb.rows, partials), f"vector {number}"


@cocotb.test()
async def extremes(dut):
    """Every activation at its most negative or most positive, every weight at plus or minus the largest."""
    tb = await ProcessingArrayBench.begun(dut)
    source = random_source("extremes")
    for value in (-tb.half, tb.half - 1):
        for row in range(tb.config.rows):
            await tb.load_row(row, [value] * tb.config.columns)
        for weight in (-MAX_MAGNITUDE, MAX_MAGNITUDE, 0):
            weights = tb.storable([weight] * tb.config.columns, source)
            assert await tb.vector(weights) == sums(weights, tb.rows)


@cocotb.test()
async def steps_beyond_the_last_pulse_add_nothing(dut):
    """The encoders run empty: what follows the last step of a vector leaves the sums as they are."""
    tb = await ProcessingArrayBench.begun(dut)
    source = random_source("empty")
    for row in range(tb.config.rows):
        await tb.load_row(row, [row - 3] * tb.config.columns)
    weights = tb.storable([MAX_MAGNITUDE] * tb.config.columns, source)
    before = await tb.vector(weights)
    doubled = carried(tb.config.encoding)
    assert await tb.step(1, 3) == [doubled * value for value in before]
