"""Processing array: stationary activations, broadcast weights, stepped by hand."""

from __future__ import annotations

import cocotb
from cocotb.triggers import RisingEdge

from fineq.format import MAX_MAGNITUDE, OUTLIER_BITS
from fineq_sim.bits import pack, unpack
from fineq_sim.payloads import find_config
from fineq_sim.reference import sums, to_weight_field
from fineq_sim.testbench import parameters, random_source, reset, settle, start_clock


class TB:
    def __init__(self, dut):
        self.dut = dut
        self.config = find_config(parameters()["config"])
        self.half = 1 << (self.config.activation_bits - 1)
        self.rows = [[0] * self.config.columns for _ in range(self.config.rows)]
        for name in ("activations", "load", "weights", "load_weights", "count", "terminate", "hold", "take_partial"):
            getattr(dut, name).value = 0
        dut.enable.value = 0
        dut.partials.value = 0
        start_clock(dut)

    async def load_row(self, row: int, values: list[int]) -> None:
        self.rows[row] = values
        self.dut.activations.value = pack(values, self.config.activation_bits)
        self.dut.load.value = 1 << row
        await RisingEdge(self.dut.clk)
        self.dut.load.value = 0

    async def load_weights(self, weights: list[int]) -> None:
        self.dut.weights.value = pack([to_weight_field(weight) for weight in weights], OUTLIER_BITS)
        self.dut.load_weights.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.load_weights.value = 0
        self.dut.weights.value = 0

    async def step(self, count: int, partials: list[int] | None = None, terminate: bool = False) -> list[int]:
        self.dut.count.value = count
        self.dut.hold.value = int(count > 0)
        self.dut.take_partial.value = int(count == 0 and partials is not None)
        self.dut.partials.value = pack(partials or [0] * self.config.rows, self.config.accumulator_bits)
        self.dut.terminate.value = int(terminate)
        self.dut.enable.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.enable.value = 0
        await settle()
        return unpack(int(self.dut.sums.value), self.config.accumulator_bits, self.config.rows, signed=True)

    def after(self, weights: list[int], steps: int, partials: list[int] | None) -> list[int]:
        """Sums after the first `steps` pulses of every weight."""
        clipped = [max(-steps, min(steps, weight)) for weight in weights]
        return sums(clipped, self.rows, partials)


@cocotb.test()
async def random_vectors(dut):
    tb = TB(dut)
    source = random_source("array")
    await reset(dut)
    for number in range(40):
        for row in range(tb.config.rows):
            if number == 0 or source.random() < 0.3:
                await tb.load_row(row, [source.randrange(-tb.half, tb.half) for _ in range(tb.config.columns)])
        weights = [source.randint(-MAX_MAGNITUDE, MAX_MAGNITUDE) for _ in range(tb.config.columns)]
        partials = source.choice([None, [source.randrange(-(1 << 18), 1 << 18) for _ in range(tb.config.rows)]])
        await tb.load_weights(weights)
        for count in range(MAX_MAGNITUDE):
            got = await tb.step(count, partials)
            assert got == tb.after(weights, count + 1, partials), f"vector {number}, count {count}"


@cocotb.test()
async def extremes(dut):
    """Every activation at its most negative or most positive, every weight at plus or minus the largest."""
    tb = TB(dut)
    await reset(dut)
    for value in (-tb.half, tb.half - 1):
        for row in range(tb.config.rows):
            await tb.load_row(row, [value] * tb.config.columns)
        for weight in (-MAX_MAGNITUDE, MAX_MAGNITUDE, 0):
            await tb.load_weights([weight] * tb.config.columns)
            for count in range(MAX_MAGNITUDE):
                got = await tb.step(count)
            assert got == tb.after([weight] * tb.config.columns, MAX_MAGNITUDE, None)


@cocotb.test()
async def terminated_encoders_add_nothing(dut):
    tb = TB(dut)
    await reset(dut)
    for row in range(tb.config.rows):
        await tb.load_row(row, [row - 3] * tb.config.columns)
    weights = [MAX_MAGNITUDE] * tb.config.columns
    await tb.load_weights(weights)
    before = await tb.step(0)
    assert before == tb.after(weights, 1, None)
    assert await tb.step(1, terminate=True) == before
