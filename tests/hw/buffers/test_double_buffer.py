"""Bookkeeping of two halves, and streams out of a memory."""

from __future__ import annotations

import random

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.buffers.double_buffer import DoubleBuffer, stream_reads

CONTENTS = [37 * number % 256 for number in range(64)]


def test_halves_take_turns():
    halves = DoubleBuffer()
    numbers = random.Random(7)

    async def bench(ctx):
        reserved = filled = released = 0
        for _ in range(500):
            assert ctx.get(halves.can_reserve) == (reserved - released < 2)
            assert ctx.get(halves.can_play) == (filled > released)
            assert ctx.get(halves.pending) == (reserved > filled)
            assert ctx.get(halves.idle) == (reserved == released)
            positions = ctx.get(halves.reserve_half), ctx.get(halves.fill_half), ctx.get(halves.play_half)
            assert positions == (reserved % 2, filled % 2, released % 2)
            actions = {
                "reserve": numbers.random() < 0.5 and reserved - released < 2,
                "fill": numbers.random() < 0.5 and reserved > filled,
                "release": numbers.random() < 0.5 and filled > released,
            }
            for name, action in actions.items():
                ctx.set(getattr(halves, name), action)
            reserved, filled, released = (
                before + action for before, action in zip((reserved, filled, released), actions.values(), strict=True)
            )
            await ctx.tick()

    simulate(halves, bench)


class Player(wiring.Component):
    """Plays a memory from its first word to its last."""

    def __init__(self) -> None:
        super().__init__({"beats": Out(stream.Signature(8))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=len(CONTENTS), init=CONTENTS)
        port = memory.read_port()
        read = stream_reads(m, [port], port.addr < len(CONTENTS) - 1, self.beats.valid, self.beats.ready)
        with m.If(read):
            m.d.sync += port.addr.eq(port.addr + 1)
        m.d.comb += self.beats.payload.eq(port.data)
        return m


@pytest.mark.parametrize("pace", [1.0, 0.5, 0.1])
def test_reads_play_a_memory_in_order(pace):
    """Whatever the pace of who takes them; at full pace a beat a cycle."""
    player, numbers = Player(), random.Random(pace)
    expected = CONTENTS[:-1]

    async def bench(ctx):
        taken, cycles = [], 0
        while len(taken) < len(expected):
            ready = numbers.random() < pace
            ctx.set(player.beats.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(player.beats.valid, player.beats.payload)
            taken += [payload] if valid and ready else []
            cycles += 1
            assert cycles < 100 * len(expected)
        assert taken == expected
        assert pace < 1 or cycles == len(expected) + 1
        ctx.set(player.beats.ready, 1)
        assert not ctx.get(player.beats.valid), "a beat too many"

    simulate(player, bench)
