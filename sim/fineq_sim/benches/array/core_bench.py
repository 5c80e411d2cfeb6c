"""The cores behind their streams: random tiles, corners, cycle counts, resets. One bench for all three cores.

Parameters: `config`, a configuration name; `core`, one of temporal, packed, mac; `vectors`, how many weight
vectors the random tests use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cocotb
import numpy as np

from fineq.format import CLUSTER_WEIGHTS, pack
from fineq.format.temporal import MAX_CYCLES
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_hw.latencies import result_latency, tile_cycles, weight_cycles
from fineq_sim.bench.core_streams import CoreStreams
from fineq_sim.bench.testbench import parameters
from fineq_sim.coverage.array import TILES, VECTORS, array_kind, filled, termination
from fineq_sim.reference.weights import make_storable, sums

KINDS = ("uniform", "sparse", "mixed", "extreme")
"""How random weights are drawn."""


@dataclass
class ArrayFilling:
    """Activations to preload, and the weight vectors that meet them."""

    rows: list[list[int]]
    vectors: list[list[int]]
    partials: list[list[int] | None] = field(default_factory=list)
    """Starting values of each vector, or None."""


class CoreBench(CoreStreams[ArrayConfig | MacConfig]):
    """A core with its streams and the reference model beside it."""

    def __init__(self, dut, stall: float = 0.0, salt: str = "", early: bool = True):
        super().__init__(dut, stall, f"stimuli {salt}")
        self.count = int(self.settings.get("vectors", 40))
        self.array: list[list[int] | None] = [None] * self.config.rows
        """What stands in each row of the array; None: unknown."""
        self.computing = 0
        """Cycles in which the array computed, since the last reset."""
        self.early = early and self.core != "mac"
        if self.core != "mac":
            self.drive(early_termination=int(early))

    # -- stimuli ---------------------------------------------------------------------------------------------

    def random_vector(self, kind: str) -> list[int]:
        low, high = self.config.weight_limits
        columns, source = self.config.columns, self.source
        if kind == "extreme":
            return [source.choice((low, high)) for _ in range(columns)]
        if kind == "sparse":
            return [source.choice((0, 0, 0, 0, -1, 1)) for _ in range(columns)]
        if kind == "mixed":
            largest = source.randint(0, high)
            return [source.randint(max(low, -largest), largest) for _ in range(columns)]
        return [source.randint(low, high) for _ in range(columns)]

    def random_tile(self, rows: int, vectors: int, kind: str = "uniform") -> ArrayFilling:
        half, source, config = 1 << (self.config.activation_bits - 1), self.source, self.config
        values = (-half, half - 1) if kind == "extreme" else range(-half, half)
        # Room for one vector of the largest products on top.
        limit = (1 << (config.accumulator_bits - 1)) - 1
        limit -= config.columns * half * max(map(abs, self.config.weight_limits))
        return ArrayFilling(
            [[source.choice(values) for _ in range(config.columns)] for _ in range(rows)],
            [self.random_vector(kind) for _ in range(vectors)],
            [
                source.choice([None, [source.randint(-limit, limit) for _ in range(config.rows)]])
                for _ in range(vectors)
            ],
        )

    def send(self, tile: ArrayFilling) -> list[tuple[list[int | None], bool]]:
        """Queue a tile; returns the expected results (None: the row was never loaded) and `last` flags."""
        for number, row in enumerate(tile.rows):
            self.array[number] = row
            last = number == len(tile.rows) - 1
            # With all rows loaded the preload ends by itself; `last` may then be low.
            mark = last and (len(tile.rows) < self.config.rows or self.source.random() < 0.5)
            self.activations.send([self.payloads.activations(row, mark)])
        expected = []
        for number, (vector, partial) in enumerate(zip(tile.vectors, tile.partials, strict=True)):
            last = number == len(tile.vectors) - 1
            self.weights.send([self.beat(vector, partial is not None, last)])
            if partial is not None:
                self.partials.send([self.payloads.partials(partial)])
            known = [row if row is not None else [0] * self.config.columns for row in self.array]
            total = sums(vector, known, partial)
            expected.append(([s if row is not None else None for s, row in zip(total, self.array, strict=True)], last))
        self._cover(tile)
        return expected

    def _cover(self, tile: ArrayFilling) -> None:
        kinds = {"array": array_kind(self.config), "termination": termination(self.early)}
        streams = "stalling" if self.stall else "steady"
        TILES.sample(rows=filled(len(tile.rows), self.config), streams=streams, **kinds)
        for steps, partial in zip(self.cycles(tile, self.early), tile.partials, strict=True):
            sums_from = "from zero" if partial is None else "on partial sums"
            VECTORS.sample(steps=str(steps), sums=sums_from, **kinds)

    def beat(self, vector: list[int], accumulate: bool, last: bool) -> int:
        """Payload of a weight vector; for the packed core it is put into a random slice of a line.

        Where only what the format can store will do, `vector` is changed to that.
        """
        if isinstance(self.config, MacConfig):
            return self.payloads.weights(vector, accumulate, last)
        config = self.config
        number = self.source.randrange(config.line_slices) if self.packed else 0
        places = config.line_order[number * config.columns :][: config.columns]
        if self.packed or config.encoding == "cluster":
            zeroed = [self.source.randrange(CLUSTER_WEIGHTS) for _ in range(config.line_weights)]
            vector[:] = make_storable(vector, places, zeroed)
        if not self.packed:
            return self.payloads.weights(vector, accumulate, last)
        line = np.zeros((1, config.line_weights), dtype=np.int8)
        line[0, list(places)] = vector
        return self.payloads.line(pack(line).tobytes(), number, accumulate, last)

    # -- running ---------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        await super().begin()
        if self.core != "mac":
            self.every_cycle(self._count_computing)

    def _count_computing(self) -> None:
        self.computing += self.read("computing")

    async def reset(self, cycles: int = 2) -> None:
        await super().reset(cycles)
        self.computing = 0

    async def check(self, expected: list[tuple[list[int | None], bool]], what: str = "") -> None:
        """Take as many results as expected and compare them row by row."""
        for number, ((values, last), payload) in enumerate(
            zip(expected, await self.results.receive(len(expected)), strict=True)
        ):
            got, got_last = self.payloads.results(payload)
            for row, value in enumerate(values):
                assert value is None or got[row] == value, (
                    f"{what} vector {number}, row {row}: sum {got[row]}, expected {value}"
                )
            assert got_last == last, f"{what} vector {number}: last is {got_last}"

    def cycles(self, tile: ArrayFilling, early_termination: bool = True) -> list[int]:
        """Pulse steps of each vector of a tile."""
        return weight_cycles(self.config, tile.vectors, early_termination)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4], early=[True, False], kind=KINDS)
async def random_tiles(dut, stall, early, kind):
    """Tiles of any height with random partial sums, every stream with its own random stalls."""
    tb = await CoreBench.begun(dut, stall, f"{stall} {early} {kind}", early)
    expected: list[tuple[list[int | None], bool]] = []
    left = tb.count
    heights = iter((tb.config.rows, 1, max(1, tb.config.rows // 2)))
    while left:
        vectors = min(left, tb.source.randint(1, 12))
        rows = next(heights, None) or tb.source.randint(1, tb.config.rows)
        tile = tb.random_tile(rows, vectors, kind)
        expected += tb.send(tile)
        left -= vectors
    await tb.check(expected)
    await tb.finish()


@cocotb.test()
async def largest_sums(dut):
    """All activations most negative or most positive, all weights at their limits, large partial sums."""
    tb = await CoreBench.begun(dut)
    config = tb.config
    half = 1 << (config.activation_bits - 1)
    limits = tb.config.weight_limits
    limit = (1 << (config.accumulator_bits - 1)) - 1 - config.columns * half * max(map(abs, limits))
    for value in (-half, half - 1):
        vectors = [[weight] * config.columns for weight in (*limits, 0) for _ in range(3)]
        partials = [None, [limit] * config.rows, [-limit] * config.rows] * 3
        tile = ArrayFilling([[value] * config.columns for _ in range(config.rows)], vectors, partials)
        await tb.check(tb.send(tile), f"activations {value},")
    await tb.finish()


@cocotb.test()
@cocotb.parametrize(early=[True, False])
async def cycle_counts(dut, early):
    """Without stalls every transfer happens in the very cycle that `fineq_hw.latencies` names."""
    tb = CoreBench(dut, salt=f"cycles {early}", early=early)
    tiles = [tb.random_tile(rows, 8, "mixed") for rows in (tb.config.rows, 1, max(1, tb.config.rows // 2), 1)]
    await tb.begin()
    expected = []
    for tile in tiles:
        expected += tb.send(tile)
    await tb.check(expected)
    await tb.finish()
    accepted, taken = tb.weights.cycles, tb.results.cycles
    loads = tb.activations.cycles
    vector = row = 0
    for number, tile in enumerate(tiles):
        cycles = tb.cycles(tile, early)
        for index, steps in enumerate(cycles):
            latency = taken[vector + index] - accepted[vector + index]
            assert latency == result_latency(tb.config, steps), f"tile {number}, vector {index}: latency {latency}"
            if index + 1 < len(cycles):
                gap = accepted[vector + index + 1] - accepted[vector + index]
                assert gap == steps, f"tile {number}, vector {index}: the next one came {gap} cycles later"
        if number + 1 < len(tiles):
            spent = loads[row + len(tile.rows)] - loads[row]
            assert spent == tile_cycles(tb.config, len(tile.rows), cycles), f"tile {number} took {spent} cycles"
        vector += len(tile.vectors)
        row += len(tile.rows)
    if tb.core != "mac":
        steps = sum(sum(tb.cycles(tile, early)) for tile in tiles)
        assert tb.computing == steps, f"computing was high in {tb.computing} cycles, expected {steps}"


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def early_termination_changes_only_the_time(dut, stall):
    """The same beats with and without early termination: equal sums, and the saving that the formula promises."""
    if parameters()["core"] == "mac":
        return
    seen, steps = [], []
    for early in (True, False):
        tb = await CoreBench.begun(dut, stall, "early", early)
        tile = tb.random_tile(tb.config.rows, tb.count, "mixed")
        expected = tb.send(tile)
        payloads = await tb.results.receive(len(expected), within=100 * tb.count)
        seen.append([tb.payloads.results(payload) for payload in payloads])
        await tb.finish()
        assert tb.computing == sum(tb.cycles(tile, early))
        steps.append(tb.computing)
        tb.end()
    assert seen[0] == seen[1]
    assert isinstance(tb.config, ArrayConfig)
    longest = MAX_CYCLES[tb.config.encoding]
    assert steps[1] == tb.count * longest and (steps[0] < steps[1] or longest == 1)


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset at any moment forgets everything; the next tile is right from its first vector."""
    tb = await CoreBench.begun(dut, 0.2, "reset")
    for moment in range(12):
        tb.send(tb.random_tile(tb.config.rows, 6, "uniform"))
        await tb.clock(1 + tb.source.randrange(tb.config.rows + 16) + moment)
        await tb.reset(cycles=1)
        assert not tb.read("results__valid"), "a result survived the reset"
        await tb.check(tb.send(tb.random_tile(tb.config.rows, 2, "uniform")), f"after reset {moment},")
    await tb.finish()
