"""The `tile` engine: when each filling of the array begins and ends, from what it waits for; no cycle is looked at.

Times are worked out filling by filling: the array waits for its activations, for weight lines and for room in the
output buffer; the read port serves activations before weights; results drain and are written beside it. Token tiles
in the middle of a job go as those before them. What needs no time is counted exactly. For memories without DRAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np

from fineq_hw.config import AcceleratorConfig, MacConfig
from fineq_hw.dma.write_dma import OUTSTANDING_WRITES, gather_depth
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, inner_tiles
from fineq_hw.interface.jobs import OutputFormat, result_bytes
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, record_bytes
from fineq_hw.latencies import PULSE_LATENCY, VECTOR_UNIT_LATENCY, mac_array_latency
from fineq_sim.driver.functional.counters import read_counters, work_counters
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.perf.descriptor_time import check_cycles
from fineq_sim.perf.jobs import TwinJob
from fineq_sim.perf.read_port import ReadPort
from fineq_sim.reference.tile_walk import NestTile, nest_tiles

_SETTLED = 10
"""Tiles of sums after which a job runs evenly."""

_ALIKE = (2, 5)
"""Token tiles at the beginning of a job after which all go alike, at least and at most: as many as settle it. The last
two of them tell how."""

_TO_VECTOR_UNIT = 3
"""Cycles from the last sum of a tile to its first group in the vector unit."""

_GATHERED = 3
"""Cycles from the last word of a burst to its first on the bus."""

_ANSWER = 6
"""Cycles of a burst on the write port beside its words and the memory's latency: address, answer, registers."""


@dataclass(frozen=True)
class Estimate:
    """What the engine says of a chain.

    Attributes:
        cycles: about so many.
        counts: the counters that need no time, exact, by name.
    """

    cycles: int
    counts: dict[str, int]


class _Filling(NamedTuple):
    """One filling of the array: its rows, and all vectors that meet it.

    Attributes:
        rows, steps: activation rows; steps of all vectors.
        lines: number of the transfer of weight lines that it plays.
        tile: number of the tile of sums, `first` and `last` of its fillings.
    """

    rows: int
    steps: int
    lines: int
    tile: int
    first: bool
    last: bool


def estimate(
    config: AcceleratorConfig, jobs: Sequence[TwinJob], steps: Sequence[np.ndarray], memory: MemoryTiming | None = None
) -> Estimate:
    """Estimate a chain of jobs; arguments as `fineq_sim.perf.twin.run`.

    Raises:
        ValueError: a memory that this engine does not know.
    """
    memory = MemoryTiming() if memory is None else memory
    if memory.dram is not None or memory.stall:
        raise ValueError("the tile engine knows memories of fixed latency and speed only: use the exact engine")
    time, ready = 0.0, 0.0
    counts = read_counters(config, DESCRIPTOR_BYTES, len(jobs))
    for number, (job, table) in enumerate(zip(jobs, steps, strict=True)):
        # The next descriptor is fetched and checked while a job runs.
        fetched = ReadPort(config, memory, ready, []).records(ready, DESCRIPTOR_BYTES // config.bus_bytes)
        ready = fetched + check_cycles(config, job, last=number == len(jobs) - 1)
        begin = max(time + 2, ready)
        time = _Job(config, job, table, memory, begin).end()
        ready = max(ready, begin)
        counts.update(work_counters(config, vars(job), int(table.sum())))
    return Estimate(round(time) + 1, dict(counts) | {"jobs": len(jobs)})


class _Job:
    """One job of a chain: when it ends, if it begins at a time."""

    def __init__(
        self, config: AcceleratorConfig, job: TwinJob, steps: np.ndarray, memory: MemoryTiming, begin: float
    ) -> None:
        self.config, self.job, self.steps, self.memory, self.begin = config, job, steps, memory, begin
        array = config.array
        self.latency = mac_array_latency(array) - PULSE_LATENCY - 1 if isinstance(array, MacConfig) else 0
        self.narrow = job.output_format is OutputFormat.INT8
        self.tiles = inner_tiles(job.inner, config)

    def end(self) -> float:
        """When the last answer to a write has come."""
        rows = self.config.array.rows
        least, most = _ALIKE
        first = min(most, max(least, -(-_SETTLED * self.config.channels_per_tile // self.job.channels)))
        alike = max(0, -(-self.job.tokens // rows) - 1 - first)
        nest = nest_tiles(self.config, self.job.tokens - alike * rows, self.job.channels)
        token_tiles = [list(tiles) for _, tiles in groupby(nest, lambda tile: tile.first_token)]
        ends, end = self._times([tile for tiles in token_tiles for tile in tiles])
        if alike > 0:
            width = len(token_tiles[0])
            end += alike * (ends[first * width - 1] - ends[(first - 1) * width - 1])
        return end

    def _times(self, tiles: list[NestTile]) -> tuple[list[float], float]:
        """When the array is through with each tile of sums, and when the last result is written."""
        slices = self.config.line_slices
        fillings: list[_Filling] = []
        chunks: list[int] = []  # words of each transfer of weight lines
        sums: dict[tuple[int, int], list[int]] = {}
        for number, tile in enumerate(tiles):
            key = (tile.first_channel, tile.channels)
            if key not in sums:
                part = self.steps[:, tile.first_channel : tile.first_channel + tile.channels]
                sums[key] = part.sum(axis=1, dtype=np.int64).tolist()
            words = -(-self.config.weight_chunk_bytes(tile.channels) // self.config.bus_bytes)
            for k, total in enumerate(sums[key]):
                if k % slices == 0:
                    chunks.append(words)
                first, last = k == 0, k == self.tiles - 1
                fillings.append(_Filling(tile.tokens, total, len(chunks) - 1, number, first, last))
        return self._run(tiles, fillings, chunks)

    def _run(self, tiles: list[NestTile], fillings: list[_Filling], chunks: list[int]) -> tuple[list[float], float]:
        begin, config = self.begin, self.config
        port = ReadPort(config, self.memory, begin, chunks)
        array_end = begin
        drained = [begin, begin]
        ends, written = [], begin
        came = [0.0, 0.0]
        came[0] = port.activations(begin, fillings[0].rows)
        for ahead in range(2):
            self._ask_parameters(port, begin, tiles, ahead)
            port.ask_weights(begin + ahead)
        latency, count = self.latency, len(fillings)
        activations, filled = port.activations, port.filled
        for number, filling in enumerate(fillings):
            rows, steps, lines, of_tile, first, last = filling
            half = number & 1
            arrived = came[half]
            loaded = (array_end if array_end > arrived else arrived) + rows
            if number == 0 and count > 1:  # while the first lines come, one filling at a time is asked for
                came[1] = activations(loaded - 1, fillings[1].rows)
            if number + 2 < count:
                came[half] = activations(loaded - 1, fillings[number + 2].rows, lines)
            played = loaded + PULSE_LATENCY
            if first:  # results need a half of the output buffer
                played = max(played, drained[of_tile % 2] - latency)
            played += steps
            decoded = filled(lines) + 4
            if decoded > played:
                played = decoded
            array_end = played + latency
            if number + 1 == count or fillings[number + 1].lines != lines:
                # The last two vectors have left the buffer, one to the array, one to the register before it.
                port.ask_weights(played - 2 * steps / tiles[of_tile].channels)
            if last:
                ends.append(array_end)
                drained[of_tile % 2], written = self._drain(tiles[of_tile], array_end, max(drained), written)
                self._ask_parameters(port, drained[of_tile % 2], tiles, of_tile + 2)
        return ends, written + self.memory.latency + 1

    def _ask_parameters(self, port: ReadPort, time: float, tiles: list[NestTile], number: int) -> None:
        """Ask for the records of a tile, if there is one and they are read."""
        if number < len(tiles) and self.job.output_format is not OutputFormat.SUMS:
            tile, bus = tiles[number], self.config.bus_bytes
            channels = tile.channels * record_bytes(CHANNEL_PARAMETERS)
            port.ask_records(time, -(-channels // bus) + -(-tile.tokens * record_bytes(TOKEN_PARAMETERS) // bus))

    def _drain(self, tile: NestTile, full: float, drained: float, written: float) -> tuple[float, float]:
        """When a tile's half is free again, and when its results are written.

        Args:
            tile: the tile.
            full: when its half is.
            drained, written: when the tile before has left its half, has been written.
        """
        config = self.config
        row_words = -(-tile.channels * result_bytes(self.job.output_format) // config.bus_bytes)
        groups = -(-tile.channels // config.vector_lanes)
        row = groups if self.narrow else max(groups, row_words)  # cycles of a token in the vector unit
        beats = min(row_words, config.max_burst_beats)
        bursts = -(-row_words // config.max_burst_beats)
        burst = (self.memory.latency + beats + _ANSWER) / OUTSTANDING_WRITES
        out = max(row_words / self.memory.words_per_cycle, bursts * burst)  # and on the write port
        begin = max(full + _TO_VECTOR_UNIT, drained + 1)
        last_put = begin + tile.tokens * row - 1 + VECTOR_UNIT_LATENCY
        last_beats = (row_words - 1) % config.max_burst_beats + 1
        first = begin + VECTOR_UNIT_LATENCY + beats * (row // row_words) - 1 + _GATHERED
        # How often all bursts under way wait for answers.
        turns, left = divmod(tile.tokens * bursts - 1, OUTSTANDING_WRITES)
        paced = turns * burst * OUTSTANDING_WRITES + (left + 1) * row_words / bursts
        late = max(tile.tokens * row_words / self.memory.words_per_cycle, paced)
        done = max(last_put + _GATHERED + last_beats - 1, written + tile.tokens * out, first + late - 1)
        waiting = gather_depth(config) + VECTOR_UNIT_LATENCY  # words on their way, if the port is the slower one
        return max(begin + tile.tokens * row, done - waiting * out / row_words), done
