"""The queue for many entries."""

from __future__ import annotations

import random

import pytest
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.lib.block_fifo import BlockFifo


@pytest.mark.parametrize("depth", [2, 3, 34])
@pytest.mark.parametrize("pace", [0.3, 0.6, 1.0])
def test_queue_keeps_the_order(depth, pace):
    """Nothing lost or doubled, `depth` entries at most and at some time, an entry on offer two cycles after it came."""
    numbers = random.Random(f"{depth} {pace}")
    queue = BlockFifo(8, depth)

    async def bench(ctx):
        held: list[tuple[int, int]] = []  # value, and the cycle in which it was taken
        most = 0
        for cycle in range(600):
            take = numbers.random() < (pace if cycle % 200 < 120 else 0.05)
            put, value = numbers.random() < 0.8, numbers.randrange(256)
            ctx.set(queue.input.valid, put)
            ctx.set(queue.input.payload, value)
            ctx.set(queue.output.ready, take)
            if held and held[0][1] <= cycle - 2:
                assert ctx.get(queue.output.valid)
            assert ctx.get(queue.input.ready) or len(held) >= depth - 1
            room = ctx.get(queue.input.ready)
            if ctx.get(queue.output.valid):
                assert ctx.get(queue.output.payload) == held[0][0]
                if take:
                    held.pop(0)
            if put and room:
                held.append((value, cycle))
            most = max(most, len(held))
            await ctx.tick()
        assert most == depth

    simulate(queue, bench)
