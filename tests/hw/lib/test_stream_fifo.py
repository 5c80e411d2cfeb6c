"""The queue between streams."""

from __future__ import annotations

import gc
import random

import pytest
from hardware_simulation import simulate

from fineq_hw.lib.block_fifo import BlockFifo
from fineq_hw.lib.stream_fifo import StreamFifo


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_queue_keeps_the_order(depth):
    numbers = random.Random(depth)
    queue = StreamFifo(8, depth)
    held: list[int] = []

    async def bench(ctx):
        most = 0
        for _ in range(400):
            put, take, value = numbers.random() < 0.6, numbers.random() < 0.5, numbers.randrange(256)
            ctx.set(queue.input.valid, put)
            ctx.set(queue.input.payload, value)
            ctx.set(queue.output.ready, take)
            assert ctx.get(queue.level) == len(held)
            assert ctx.get(queue.input.ready) == (len(held) < depth)
            assert ctx.get(queue.output.valid) == bool(held)
            room = len(held) < depth
            if held:
                assert ctx.get(queue.output.payload) == held[0]
                if take:
                    held.pop(0)
            if put and room:
                held.append(value)
            most = max(most, len(held))
            await ctx.tick()
        assert most == depth

    simulate(queue, bench)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("kind", "depth", "text"),
    [
        (StreamFifo, 0, "depth is 0: a StreamFifo needs at least 1"),
        (BlockFifo, 1, "depth is 1: a BlockFifo needs at least 2"),
    ],
)
def test_a_queue_has_entries(kind, depth, text):
    with pytest.raises(ValueError) as error:
        kind(8, depth)
    assert str(error.value) == text
    del error
    gc.collect()
