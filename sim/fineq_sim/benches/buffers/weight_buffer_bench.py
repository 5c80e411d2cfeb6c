"""Packed weights from a memory to the array: sizes around every limit, pauses, rate."""

from __future__ import annotations

import cocotb
import numpy as np

from fineq.format import pack
from fineq_hw.config import MacConfig
from fineq_hw.interface.descriptors import inner_tiles
from fineq_sim.bench.block_bench import FetchingBlockBench
from fineq_sim.reference.memory_image import weight_image
from fineq_sim.reference.payloads import Payloads
from fineq_sim.reference.random_layers import random_codes
from fineq_sim.reference.tile_walk import nest_tiles


class WeightBufferBench(FetchingBlockBench):
    def __init__(self, dut, stall: float = 0.0):
        super().__init__(dut, stall)
        self.weights = self.consumer("weights")

    async def job(self, tokens: int, channels: int, inner: int) -> list[int]:
        """Start a job with random weights; returns the vectors that must come."""
        config, columns = self.config, self.config.array.columns
        codes = random_codes(config, self.rng, channels, inner)
        image = weight_image(config, codes if isinstance(config.array, MacConfig) else pack(codes), inner)
        base = self.anywhere(len(image))
        self.reader.memory = {base: image}
        await self.start(tokens, channels, inner, weights=base)
        tiles, payloads, expected = inner_tiles(inner, config), Payloads(config.array), []
        padded = np.zeros((channels, tiles * columns), dtype=np.int8)
        padded[:, :inner] = codes
        for tile in nest_tiles(config, tokens, channels):
            for k in range(tiles):
                part = padded[tile.first_channel : tile.first_channel + tile.channels, k * columns : (k + 1) * columns]
                expected += [payloads.weights(row.tolist(), k > 0, n == len(part) - 1) for n, row in enumerate(part)]
        return expected


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def plays_every_vector(dut, stall):
    tb = await WeightBufferBench.begun(dut, stall)
    for tokens, channels, inner in tb.sizes():
        tokens = min(tokens, tb.config.array.rows + 1)
        expected = await tb.job(tokens, channels, inner)
        got = await tb.weights.receive(len(expected), within=100 * len(expected) + 1000)
        wrong = [n for n, pair in enumerate(zip(got, expected, strict=True)) if pair[0] != pair[1]]
        assert not wrong, f"{tokens}x{channels}x{inner}: vector {wrong[0]} of {len(expected)}"
        await tb.end_of_job()
        assert not tb.read("decoding")
    await tb.finish()


@cocotb.test()
async def as_fast_as_memory_and_array_allow(dut):
    """From the second half on a vector comes every cycle, or words come every cycle."""
    tb = await WeightBufferBench.begun(dut)
    config, channels = tb.config, tb.config.final_channels
    expected = await tb.job(1, channels, 6 * config.array.columns * config.line_slices)
    await tb.weights.receive(len(expected))
    lines = len(expected) // config.line_slices
    words = lines * config.line_bytes / config.bus_bytes
    spent = tb.weights.cycles[-1] - tb.weights.cycles[channels] + 1
    assert spent <= max(words, len(expected)) + 40, f"{len(expected)} vectors from {words} words took {spent} cycles"
