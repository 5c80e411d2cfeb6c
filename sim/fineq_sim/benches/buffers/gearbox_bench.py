"""Words to lines: every length of a run, with and without pauses, and the rate."""

from __future__ import annotations

import cocotb

from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_sim.bench.bench import Bench


class GearboxBench(Bench[AcceleratorConfig]):
    inputs = ("lines",)

    def __init__(self, dut, stall: float = 0.0):
        super().__init__(dut, stall, "gearbox")
        self.words = self.producer("words")
        self.lines: list[tuple[int, int]] = []
        """Cycle and value of every line."""
        self.done = self.cycle = 0

    async def begin(self) -> None:
        await super().begin()
        self.every_cycle(self._watch)

    def _watch(self) -> None:
        self.cycle += 1
        self.done += self.read("done")
        if self.read("line_valid"):
            self.lines.append((self.cycle, self.read("line")))

    async def run(self, count: int) -> None:
        """Send the chunk of `count` lines; checks the lines."""
        size, bus = self.config.line_bytes, self.config.bus_bytes
        content = self.source.randbytes(self.config.weight_chunk_bytes(count))
        assert len(content) % ALIGNMENT == 0
        self.drive(lines=count)
        self.lines, before = [], self.done
        for start in range(0, len(content), bus):
            word = int.from_bytes(content[start : start + bus], "little")
            self.words.send([word | (start + bus == len(content)) << 8 * bus])
        for _ in range(40 * len(content)):
            await self.clock()
            if self.done > before:
                break
        expected = [int.from_bytes(content[n * size : (n + 1) * size], "little") for n in range(count)]
        assert [line for _, line in self.lines] == expected, f"a run of {count} lines"
        assert self.done == before + 1
        self.assert_empty()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def every_length(dut, stall):
    tb = await GearboxBench.begun(dut, stall)
    for count in (*range(1, min(20, tb.config.channels_per_tile + 1)), tb.config.channels_per_tile, 1, 2):
        await tb.run(count)


@cocotb.test()
async def no_cycle_is_lost(dut):
    """Either a word is taken in every cycle, or a line leaves in every cycle."""
    tb = await GearboxBench.begun(dut)
    count = tb.config.channels_per_tile
    await tb.run(count)
    words = -(-count * tb.config.line_bytes // tb.config.bus_bytes)
    spent = tb.lines[-1][0] - tb.words.cycles[0] + 1
    assert spent <= max(words, count) + 2, f"{count} lines from {words} words took {spent} cycles"
