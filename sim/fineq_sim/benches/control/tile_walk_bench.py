"""The tile nest against plain loops: sizes around every limit, pauses, a new start in the middle."""

from __future__ import annotations

import cocotb
from cocotb.triggers import RisingEdge

from fineq_sim.bench.testbench import parameters, random_source, reset, settle, start_clock
from fineq_sim.reference.payloads import find_config
from fineq_sim.reference.tile_walk import nest_tiles


async def start(dut, tokens: int, channels: int, inner: int) -> None:
    dut.tokens.value, dut.channels.value, dut.inner.value = tokens, channels, inner
    dut.start.value = 1
    await RisingEdge(dut.clk)
    dut.start.value = 0


@cocotb.test()
async def visits_every_position(dut):
    config, source = find_config(parameters()["config"]), random_source("walk")
    rows, whole, portion = config.array.rows, config.channels_per_tile, config.final_channels
    start_clock(dut)
    dut.start.value = dut.advance.value = 0
    await reset(dut)
    assert dut.active.value == 0
    for tokens in (1, rows, rows + 1, 3 * rows - 1):
        for channels in (1, portion, portion + 1, 2 * portion, whole - 1, whole, whole + 1, 2 * whole + portion + 3):
            inner = source.choice((1, 2, 5))
            await start(dut, 1 + source.randrange(rows), 1 + source.randrange(whole), 3)  # must leave no trace
            await start(dut, tokens, channels, inner)
            for tile in nest_tiles(config, tokens, channels):
                for step in range(inner):
                    while True:
                        dut.advance.value = advance = int(source.random() < 0.7)
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
                            seen = int(getattr(dut, name).value)
                            assert seen == value, f"{tokens}x{channels}x{inner} {tile} {step}: {name} {seen}"
                        await RisingEdge(dut.clk)
                        if advance:
                            break
            dut.advance.value = 0
            await settle()
            assert dut.active.value == 0
