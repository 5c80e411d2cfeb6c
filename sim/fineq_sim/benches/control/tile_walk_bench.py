"""The tile nest against plain loops: sizes around every limit, pauses, a new start in the middle."""

from __future__ import annotations

import cocotb

from fineq_hw.config import MAX_LAYER_SIZE, AcceleratorConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import settle
from fineq_sim.reference.tile_walk import nest_tiles


class TileWalkBench(Bench[AcceleratorConfig]):
    inputs = ("start", "advance")

    async def start(self, tokens: int, channels: int, inner: int) -> None:
        self.drive(tokens=tokens, channels=channels, inner=inner)
        await self.pulse(start=1)


@cocotb.test()
async def visits_every_position(dut):
    tb = await TileWalkBench.begun(dut, salt="walk")
    config, source = tb.config, tb.source
    rows, whole, portion = config.array.rows, config.channels_per_tile, config.final_channels
    assert dut.active.value == 0
    for tokens in (1, rows, rows + 1, 3 * rows - 1):
        for channels in (1, portion, portion + 1, 2 * portion, whole - 1, whole, whole + 1, 2 * whole + portion + 3):
            inner = source.choice((1, 2, 5))
            await tb.start(1 + source.randrange(rows), 1 + source.randrange(whole), 3)  # must leave no trace
            await tb.start(tokens, channels, inner)
            for tile in nest_tiles(config, tokens, channels):
                for step in range(inner):
                    while True:
                        advance = int(source.random() < 0.7)
                        tb.drive(advance=advance)
                        await settle()
                        got = {
                            "active": 1,
                            "tokens_in_tile": tile.tokens,
                            "channels_in_tile": tile.channels,
                            "image_channels": tile.image_channels,
                            "last_portion": int(tile.last_portion),
                            "first_inner": int(step == 0),
                            "last_inner": int(step == inner - 1),
                            "last_channels": int(tile.last_channels),
                            "last_tokens": int(tile.last_tokens),
                        }
                        for name, value in got.items():
                            seen = tb.read(name)
                            assert seen == value, f"{tokens}x{channels}x{inner} {tile} {step}: {name} {seen}"
                        await tb.clock()
                        if advance:
                            break
            tb.drive(advance=0)
            await settle()
            assert dut.active.value == 0


@cocotb.test()
async def counts_far(dut):
    """Each of the three loops long, the others short: no bit of a counter is lost on the way."""
    tb = await TileWalkBench.begun(dut, salt="far")
    config, steps = tb.config, 2100
    for tokens, channels, inner in (
        (1, 1, steps),
        (1, steps * config.channels_per_tile, 1),
        (steps * config.array.rows, 1, 1),
    ):
        if max(tokens, channels) > MAX_LAYER_SIZE:
            tokens, channels = min(tokens, MAX_LAYER_SIZE), min(channels, MAX_LAYER_SIZE)
        tiles = len(list(nest_tiles(config, tokens, channels)))
        await tb.start(tokens, channels, inner)
        tb.drive(advance=1)
        await tb.clock(tiles * inner - 1)
        assert await tb.read_settled("active"), f"{tokens}x{channels}x{inner} ends too soon"
        await tb.clock()
        assert not await tb.read_settled("active"), f"{tokens}x{channels}x{inner} does not end"
        tb.drive(advance=0)
