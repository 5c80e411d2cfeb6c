"""The queue between streams."""

from __future__ import annotations

import gc
import random

import pytest
from amaranth.hdl import ResetInserter, Signal
from helpers.hardware.hardware_simulation import simulate

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


@pytest.mark.parametrize("outlives", [False, True])
def test_what_empties_a_queue(outlives):
    """The reset, or for a queue that outlives it its port `clear` alone; it works on from there."""
    queue, reset = StreamFifo(8, 3, outlives_reset=outlives), Signal()

    async def put(ctx, value):
        ctx.set(queue.input.valid, 1)
        ctx.set(queue.input.payload, value)
        await ctx.tick()
        ctx.set(queue.input.valid, 0)

    async def bench(ctx):
        await put(ctx, 17)
        await put(ctx, 4)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert ctx.get(queue.level) == (2 if outlives else 0)
        if outlives:
            assert ctx.get(queue.output.payload) == 17
            ctx.set(queue.clear, 1)
            await ctx.tick()
            ctx.set(queue.clear, 0)
            assert not ctx.get(queue.level) and not ctx.get(queue.output.valid)
        for value in (1, 2, 3):
            await put(ctx, value)
        for value in (1, 2, 3):
            assert ctx.get(queue.output.payload) == value
            ctx.set(queue.output.ready, 1)
            await ctx.tick()
        assert not ctx.get(queue.output.valid)

    simulate(ResetInserter(reset)(queue), bench)


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
