"""Partial sums and the drain, with a stand-in for the core: few channels, many inner tiles, pauses, rate."""

from __future__ import annotations

import cocotb
import numpy as np

from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.lib.machine_streams import sums_group_layout
from fineq_sim.bench.block_bench import BlockBench
from fineq_sim.reference.payloads import Payloads
from fineq_sim.reference.tile_walk import NestTile, nest_tiles


class OutputBufferBench(BlockBench):
    def __init__(self, dut, stall: float = 0.0):
        super().__init__(dut, stall)
        self.payloads = Payloads(self.config.array)
        self.results = self.producer("results")
        self.partials = self.consumer("partials")
        self.groups = self.consumer("groups")

    async def core(self, tile: NestTile, tiles: int) -> np.ndarray:
        """Do as the core does with random addends; returns the sums of the tile, [channels, rows]."""
        bits, rows = self.config.array.accumulator_bits, self.config.array.rows
        addends = self.rng.integers(-1 << bits - 4, 1 << bits - 4, (tiles, tile.channels, rows)) // tiles
        for k in range(tiles):
            for channel in range(tile.channels):
                start: int | np.ndarray = 0
                if k:
                    (payload,) = await self.partials.receive(1)
                    start = np.array(self.payloads.results(payload)[0])
                    known = addends[:k, channel].sum(axis=0)
                    assert (start == known).all(), f"partial sums of channel {channel}, inner tile {k}: {start}"
                values = (addends[k, channel] + start).tolist()
                last = channel == tile.channels - 1
                self.results.send([self.payloads.partials(values) | int(last) << bits * rows])
                await self.clock()
        return addends.sum(axis=0)

    async def check(self, tile: NestTile, sums: np.ndarray) -> None:
        lanes = self.config.vector_lanes
        for token in range(tile.tokens):
            for first in range(0, tile.channels, lanes):
                (payload,) = await self.groups.receive(1)
                group = sums_group_layout(self.config).from_bits(payload)
                valid = min(lanes, tile.channels - first)
                got = [int(group.sums[lane]) for lane in range(valid)]
                assert got == sums[first : first + valid, token].tolist(), f"token {token}, channel {first}: {got}"
                row_last = first + lanes >= tile.channels
                last = row_last and token == tile.tokens - 1
                flags = (group.valid_lanes, group.group, group.token, bool(group.row_last), bool(group.last))
                assert flags == (valid, first // lanes, token, row_last, last), f"{tile}: {flags}"


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def accumulates_and_drains(dut, stall):
    tb = await OutputBufferBench.begun(dut, stall)
    columns = tb.config.array.columns
    sizes = [(min(m, tb.config.array.rows + 1), n, min(k, 3 * columns)) for m, n, k in tb.sizes()]
    sizes += [(2, channels, 9 * columns) for channels in (1, 2, 3)]
    for tokens, channels, inner in sizes:
        await tb.start(tokens, channels, inner)
        tiles, waiting = list(nest_tiles(tb.config, tokens, channels)), None
        for tile in tiles:
            sums = await tb.core(tile, inner_tiles(inner, tb.config))
            if waiting:
                await waiting
            waiting = cocotb.start_soon(tb.check(tile, sums))
        assert waiting is not None  # there is a tile
        await waiting
        await tb.end_of_job()
    await tb.finish()


@cocotb.test()
async def partials_and_groups_come_every_cycle(dut):
    tb = await OutputBufferBench.begun(dut)
    channels, rows = tb.config.final_channels, tb.config.array.rows
    await tb.start(rows, channels, 2 * tb.config.array.columns)
    bits = tb.config.array.accumulator_bits
    for _ in range(2):
        tb.results.send(int(n == channels - 1) << bits * rows for n in range(channels))
        if not _:
            await tb.partials.receive(channels)
    assert tb.partials.cycles[-1] - tb.partials.cycles[0] == channels - 1
    groups = rows * channels // tb.config.vector_lanes
    await tb.groups.receive(groups)
    assert tb.groups.cycles[-1] - tb.groups.cycles[0] == groups - 1


@cocotb.test()
async def the_last_group_of_a_tile_may_wait(dut):
    """However long: the array works on in the other half, comes back to this one, and the group stays what it is."""
    tb = await OutputBufferBench.begun(dut)
    tb.groups.stop()
    config, lanes = tb.config, tb.config.vector_lanes
    tokens, channels, inner = config.array.rows, 3 * config.channels_per_tile, 2 * config.array.columns
    tiles = list(nest_tiles(config, tokens, channels))
    counts = [tile.tokens * -(-tile.channels // lanes) for tile in tiles]
    await tb.start(tokens, channels, inner)

    async def work() -> list[np.ndarray]:
        return [await tb.core(tile, inner_tiles(inner, config)) for tile in tiles]

    working, taken = cocotb.start_soon(work()), 0
    while True:
        offered = await tb.read_settled("groups__valid")
        if offered and taken == counts[0] - 1:
            break
        tb.drive(groups__ready=offered)
        taken += offered
        await tb.clock()
    tb.drive(groups__ready=0)
    last = tb.read("groups__payload")
    for _ in range(6 * config.channels_per_tile):
        await tb.clock()
        assert await tb.read_settled("groups__valid") and tb.read("groups__payload") == last
    tb.groups.start()
    (payload,) = await tb.groups.receive(1)
    assert payload == last
    group = sums_group_layout(config).from_bits(payload)
    sums = await working
    first = (tiles[0].channels - 1) // lanes * lanes
    expected = sums[0][first:, tokens - 1].tolist()
    assert [int(group.sums[lane]) for lane in range(len(expected))] == expected
    for tile, values in zip(tiles[1:], sums[1:], strict=True):
        await tb.check(tile, values)
    await tb.end_of_job()


@cocotb.test()
async def both_halves_full(dut):
    """With two tiles undrained no result is taken, and none is lost."""
    tb = await OutputBufferBench.begun(dut)
    tb.groups.stop()
    rows, channels = tb.config.array.rows, 2 * tb.config.channels_per_tile + 1
    bits = tb.config.array.accumulator_bits
    sizes = [tile.channels for tile in nest_tiles(tb.config, rows, channels)]
    await tb.start(rows, channels, 1)
    for size in sizes:
        tb.results.send((n + 1) | int(n == size - 1) << bits * rows for n in range(size))
    await tb.clock(channels + 50)
    assert tb.results.beats == sum(sizes[:2]), f"{tb.results.beats} results taken"
    tb.groups.start()
    groups = sum(rows * -(-size // tb.config.vector_lanes) for size in sizes)
    payloads = await tb.groups.receive(groups)
    sums = [int(sums_group_layout(tb.config).from_bits(payload).sums[0]) for payload in payloads]
    lanes = tb.config.vector_lanes
    expected = [
        first + 1 if row == 0 else 0 for size in sizes for row in range(rows) for first in range(0, size, lanes)
    ]
    assert sums == expected
    await tb.end_of_job()
