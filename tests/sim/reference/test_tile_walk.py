"""The nest of tiles."""

from __future__ import annotations

from collections import Counter

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_sim.reference.tile_walk import counted_tiles, nest_tiles


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


@pytest.mark.parametrize("machine", ["accelerator_5x7", "accelerator_8x24"])
@pytest.mark.parametrize("tokens", [1, 4, 8, 9, 40, 41, 1000])
def test_counted_tiles_are_those_of_the_nest(machine, tokens):
    config = ACCELERATORS[machine]
    for channels in (1, 45, 100):

        def told(tile, times=1):
            place = (tile.tokens, tile.first_channel, tile.channels, tile.last_tokens, tile.last_portion)
            return Counter({place: times})

        every = sum((told(tile) for tile in nest_tiles(config, tokens, channels)), Counter())
        counted = sum((told(*each) for each in counted_tiles(config, tokens, channels)), Counter())
        assert +counted == every
