"""The gearbox against slices of the same bytes."""

from __future__ import annotations

import random

import pytest
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.buffers.gearbox import Gearbox


@pytest.mark.parametrize(("word_bytes", "line_bytes"), [(8, 7), (8, 3), (16, 6), (8, 49), (16, 56), (16, 64), (16, 24)])
def test_gearbox_cuts_lines(word_bytes, line_bytes):
    gearbox = Gearbox(word_bytes, line_bytes, 32)
    numbers = random.Random(line_bytes)

    async def bench(ctx):
        for count in (1, 2, 3, 7, 32):
            size = -(-count * line_bytes // 16) * 16
            content = numbers.randbytes(size)
            words = [content[start : start + word_bytes] for start in range(0, size, word_bytes)]
            lines, position = [], 0
            ctx.set(gearbox.lines, count)
            for _ in range(10 * len(words) + 10 * count):
                offered = position < len(words) and numbers.random() < 0.8
                ctx.set(gearbox.words.valid, offered)
                if offered:
                    ctx.set(gearbox.words.payload.data, int.from_bytes(words[position], "little"))
                    ctx.set(gearbox.words.payload.last, position == len(words) - 1)
                if ctx.get(gearbox.line_valid):
                    lines.append(ctx.get(gearbox.line).to_bytes(line_bytes, "little"))
                done = ctx.get(gearbox.done)
                position += offered and ctx.get(gearbox.words.ready)
                await ctx.tick()
                if done:
                    break
            assert lines == [content[n * line_bytes : (n + 1) * line_bytes] for n in range(count)]
            assert position == len(words)

    simulate(gearbox, bench)
