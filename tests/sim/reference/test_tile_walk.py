"""The nest of tiles."""

from __future__ import annotations

from fineq_hw.config import ACCELERATORS
from fineq_sim.reference.tile_walk import nest_tiles


def test_the_nest_covers_every_result_once():
    config = ACCELERATORS["accelerator_8x24"]
    for tokens, channels in ((1, 1), (8, 32), (9, 33), (20, 100)):
        seen = [
            (token, channel)
            for tile in nest_tiles(config, tokens, channels)
            for token in range(tile.first_token, tile.first_token + tile.tokens)
            for channel in range(tile.first_channel, tile.first_channel + tile.channels)
        ]
        assert sorted(seen) == [(token, channel) for token in range(tokens) for channel in range(channels)]
