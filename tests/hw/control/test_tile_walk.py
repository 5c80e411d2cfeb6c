"""The tile walk against the nest of the reference."""

from __future__ import annotations

import pytest
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.config import ACCELERATORS
from fineq_hw.control.tile_walk import TileWalk
from fineq_sim.reference.tile_walk import nest_tiles


@pytest.mark.parametrize("name", ["accelerator_5x7", "accelerator_8x24"])
def test_walk_follows_the_nest(name):
    config = ACCELERATORS[name]
    walk = TileWalk(config)
    rows, whole, portion = config.array.rows, config.channels_per_tile, config.final_channels

    async def bench(ctx):
        for tokens, channels, inner in ((1, 1, 1), (2 * rows, whole + 1, 2), (rows + 1, 2 * whole + portion + 1, 3)):
            for port, value in ((walk.tokens, tokens), (walk.channels, channels), (walk.inner, inner)):
                ctx.set(port, value)
            ctx.set(walk.start, 1)
            await ctx.tick()
            ctx.set(walk.start, 0)
            ctx.set(walk.advance, 1)
            for tile in nest_tiles(config, tokens, channels):
                for step in range(inner):
                    assert ctx.get(walk.active)
                    assert (ctx.get(walk.tokens_in_tile), ctx.get(walk.channels_in_tile)) == (
                        tile.tokens,
                        tile.channels,
                    )
                    assert ctx.get(walk.image_channels) == tile.image_channels
                    assert ctx.get(walk.last_portion) == tile.last_portion
                    assert (ctx.get(walk.first_inner), ctx.get(walk.last_inner)) == (step == 0, step == inner - 1)
                    await ctx.tick()
            ctx.set(walk.advance, 0)
            assert not ctx.get(walk.active)

    simulate(walk, bench)
