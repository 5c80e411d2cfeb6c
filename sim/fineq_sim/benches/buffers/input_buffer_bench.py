"""Activations from a memory to the array: sizes around every limit, pauses, rate, reset in the middle."""

from __future__ import annotations

import cocotb
import numpy as np

from fineq_hw.config import ALIGNMENT
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.jobs import STRIDE_BITS
from fineq_sim.bench.block_bench import FetchingBlockBench
from fineq_sim.reference.memory_image import activation_image
from fineq_sim.reference.payloads import Payloads
from fineq_sim.reference.tile_walk import nest_tiles


class InputBufferBench(FetchingBlockBench):
    inputs = ("start", "job", "hold")

    def __init__(self, dut, stall: float = 0.0):
        super().__init__(dut, stall)
        self.rows = self.consumer("activations")

    async def job(self, tokens: int, channels: int, inner: int) -> list[int]:
        """Start a job with random activations; returns the rows that must come."""
        config, columns = self.config, self.config.array.columns
        tiles = inner_tiles(inner, config)
        values = self.rng.integers(-128, 128, (tokens, tiles * columns), dtype=np.int8)
        packed = activation_image(config, values).reshape(tokens, -1)
        size = packed.shape[1]
        far = self.source.randrange(1 << STRIDE_BITS) // ALIGNMENT * ALIGNMENT
        stride = self.source.choice((size, size + ALIGNMENT, size + 3 * ALIGNMENT, max(size, far)))
        base = self.anywhere(tokens * stride)
        self.reader.memory = {base + token * stride: row for token, row in enumerate(packed)}
        await self.start(tokens, channels, inner, activations=base, activation_stride=stride)
        payloads, expected = Payloads(config.array), []
        for tile in nest_tiles(config, tokens, channels):
            for k in range(tiles):
                part = values[tile.first_token : tile.first_token + tile.tokens, k * columns : (k + 1) * columns]
                expected += [payloads.activations(row.tolist(), n == tile.tokens - 1) for n, row in enumerate(part)]
        return expected


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4], held=[False, True])
async def plays_every_filling(dut, stall, held):
    tb = await InputBufferBench.begun(dut, stall)
    if held:
        tb.every_cycle(lambda: tb.drive(hold=int(tb.source.random() < 0.3)))
    for tokens, channels, inner in tb.sizes():
        expected = await tb.job(tokens, channels, inner)
        got = await tb.rows.receive(len(expected), within=100 * len(expected) + 1000)
        assert got == expected, f"{tokens}x{channels}x{inner}"
        await tb.end_of_job()
    await tb.finish()


@cocotb.test()
async def one_row_a_cycle(dut):
    """A filling is played without gaps while the next one is loaded."""
    tb = await InputBufferBench.begun(dut)
    rows = tb.config.array.rows
    expected = await tb.job(rows, 1, 4 * tb.config.array.columns)
    await tb.rows.receive(len(expected))
    for filling in range(4):
        cycles = tb.rows.cycles[filling * rows : (filling + 1) * rows]
        assert cycles[-1] - cycles[0] == rows - 1, f"filling {filling} took the cycles {cycles}"


@cocotb.test()
async def hold_leaves_the_bus_alone(dut):
    """Held, the buffer fetches a filling only when it has none; free again, it fetches ahead."""
    tb = await InputBufferBench.begun(dut)
    tb.rows.stop()
    tb.drive(hold=1)
    await tb.job(2, 1, 4 * tb.config.array.columns)
    await tb.clock(100)
    assert len(tb.reader.transfers) == 1
    tb.drive(hold=0)
    await tb.clock(100)
    assert len(tb.reader.transfers) == 2


@cocotb.test()
async def reset_in_the_middle(dut):
    tb = await InputBufferBench.begun(dut, 0.2)
    for moment in range(6):
        await tb.job(2 * tb.config.array.rows, 3, 5 * tb.config.array.columns)
        await tb.clock(10 + 17 * moment)
        await tb.reset(cycles=1)
        expected = await tb.job(2, 1, 1)
        assert await tb.rows.receive(2) == expected
        await tb.end_of_job()
