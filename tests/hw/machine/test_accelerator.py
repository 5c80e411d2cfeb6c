"""The accelerator's blocks in Amaranth's own simulator, its hierarchy, and what its constructors refuse."""

from __future__ import annotations

import gc
import random
from dataclasses import replace

import pytest
from amaranth.sim import Simulator

from fineq_hw.accelerator import Accelerator, MacAccelerator, make_accelerator
from fineq_hw.buffers.double_buffer import DoubleBuffer
from fineq_hw.buffers.gearbox import Gearbox
from fineq_hw.config import ACCELERATORS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.export.conversion import collect
from fineq_sim.reference.tile_walk import nest_tiles


def simulate(component, bench) -> None:
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


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


def test_both_machines_differ_in_core_and_line_decoding_alone():
    """The same blocks in the same places; modules are the same but for widths, the core and the decoder."""
    names = ("accelerator_5x7", "mac8x8_accelerator_5x7")
    _, manifest = collect({name: make_accelerator(ACCELERATORS[name]) for name in names})

    def kinds(name: str) -> set[str]:
        array = ACCELERATORS[name].array
        children = manifest.entry(name).children
        assert manifest.entry(children["core"]).component == (
            "MacCore" if isinstance(array, MacConfig) else "TemporalCore"
        )
        return {manifest.entry(module).kind for instance, module in children.items() if instance != "core"}

    fineq, mac = kinds(names[0]), kinds(names[1])
    assert len(fineq) >= 10
    assert fineq == mac


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (Accelerator, "mac8x8_accelerator_5x7", "array is MacConfig: Accelerator needs ArrayConfig"),
        (MacAccelerator, "accelerator_5x7", "array is ArrayConfig: MacAccelerator needs MacConfig"),
    ],
)
def test_wrong_kind_of_array_is_refused(kind, name, text):
    with pytest.raises(ValueError) as error:
        kind(ACCELERATORS[name])
    assert str(error.value) == text
    del error
    gc.collect()  # the rejected component warns here, where it is ignored


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"final_channels": 24},
            "final_channels is 24: it must be a power of two that divides channels_per_tile, 64",
        ),
        (
            {"final_channels": 48},
            "final_channels is 48: it must be a power of two that divides channels_per_tile, 64",
        ),
        ({"final_channels": 80}, "final_channels is 80: it must be an integer between 16 and 64"),
        ({"vector_words": 3}, "vector_words is 3: choose one of 1, 2, 4"),
        ({"channels_per_tile": 40}, "channels_per_tile is 40: it must be a multiple of 16"),
        ({"bus_bits": 32}, "bus_bits is 32: choose one of 64, 128"),
        ({"max_burst_beats": 3}, "max_burst_beats is 3: choose one of 1, 2, 4"),
    ],
)
def test_impossible_accelerators_are_refused(changes, text):
    config: AcceleratorConfig = ACCELERATORS["accelerator_16x16"]
    with pytest.raises(ValueError, match=f"^{text}"):
        replace(config, **changes)


def test_lines_that_no_transfer_can_hold_are_refused():
    array = ArrayConfig(rows=2, columns=587)
    text = "channels_per_tile is 4096: lines of 4109 bytes for all of them are 16830464 bytes, more than the 16777215"
    with pytest.raises(ValueError, match=f"^{text}"):
        AcceleratorConfig(array, channels_per_tile=4096)
    assert AcceleratorConfig(array, channels_per_tile=2048).line_bytes == 4109
