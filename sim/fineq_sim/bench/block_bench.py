"""What the benches of the accelerator's blocks share: a job, its start, and a read engine that always delivers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import cocotb
import numpy as np

from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.lib.machine_streams import job_layout, read_word_layout, transfer_layout
from fineq_sim.bench.axi_memory import Transfer
from fineq_sim.bench.bench import Bench


class BlockBench(Bench[AcceleratorConfig]):
    """A block of the accelerator with its job.

    Attributes:
        rng: random numbers, as `source`, for numpy.
    """

    inputs: ClassVar[tuple[str, ...]] = ("start", "job")

    def __init__(self, dut: Any, stall: float = 0.0) -> None:
        super().__init__(dut, stall, "block ")
        self.rng = np.random.default_rng(self.source.getrandbits(32))

    async def start(self, tokens: int, channels: int, inner: int, **fields: int) -> None:
        """Start a job of M tokens, N channels and K inputs."""
        tiles = inner_tiles(inner, self.config)
        groups = -(-tiles // self.config.line_slices)
        values = {"tokens": tokens, "channels": channels, "inner_tiles": tiles, "line_groups": groups, **fields}
        assert not self.read("busy"), "still busy with the job before"
        self.drive(job=job_layout(self.config).const(values).as_value().value)
        await self.pulse(start=1)

    async def end_of_job(self, within: int = 200) -> None:
        """The block must come to rest."""
        await self.wait_for("busy", 0, within)

    async def finish(self, cycles: int = 20) -> None:
        """Nothing more may happen, and nothing may be left."""
        await super().finish(cycles)
        assert not self.read("busy")

    def sizes(self) -> list[tuple[int, int, int]]:
        """M, N, K from one to beyond a tile and a line, and random ones."""
        config, source = self.config, self.source
        rows, columns, channels = config.array.rows, config.array.columns, config.channels_per_tile
        line = columns * config.line_slices
        fixed = [(1, 1, 1), (rows, channels, columns), (rows + 1, channels + 1, line + 1), (2 * rows, 2, 2 * line)]
        return fixed + [
            (source.randint(1, 2 * rows + 1), source.randint(1, 2 * channels + 3), source.randint(1, line + columns))
            for _ in range(4)
        ]


class FetchingBlockBench(BlockBench):
    """A block that fetches from memory.

    Attributes:
        reader: the read engine behind its streams.
    """

    def __init__(self, dut: Any, stall: float = 0.0) -> None:
        super().__init__(dut, stall)
        self.reader = ReadEngine(self)

    def anything(self, size: int) -> np.ndarray:
        """Random bytes, uint8 [size]."""
        return self.rng.integers(0, 256, size, dtype=np.uint8)

    def anywhere(self, size: int) -> int:
        """An address that begins a region of so many bytes; all of its bits may be set."""
        room = (1 << self.config.address_bits) - size
        return ALIGNMENT * self.source.randrange(room // ALIGNMENT + 1)


class ReadEngine:
    """Takes a block's commands and delivers the words of a memory, as the real engine does.

    Attributes:
        memory: regions as uint8, by the addresses that they begin at.
        transfers: commands taken so far.
    """

    def __init__(self, bench: Bench[AcceleratorConfig]) -> None:
        self.config = bench.config
        self.memory: dict[int, np.ndarray] = {}
        self.commands, self.words = bench.consumer("commands"), bench.producer("words")
        self.transfers: list[Transfer] = []
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            (payload,) = await self.commands.receive(1, within=1_000_000)
            command = transfer_layout(self.config).from_bits(payload)
            self.transfers.append(Transfer(command.address, command.row_bytes, command.rows, command.stride))
            self.words.send(self._payloads(self.transfers[-1]))

    def _payloads(self, transfer: Transfer) -> Iterator[int]:
        size = self.config.bus_bytes
        for address, row_last, last in transfer.words(self.config):
            word = int.from_bytes(self._read(address, size), "little")
            fields = {"data": word, "row_last": int(row_last), "last": int(last)}
            yield read_word_layout(self.config).const(fields).as_value().value

    def _read(self, address: int, size: int) -> bytes:
        assert address % size == 0, f"read at {address:#x}"
        for start, content in self.memory.items():
            if start <= address and address + size <= start + len(content):
                return content[address - start :][:size].tobytes()
        raise AssertionError(f"read at {address:#x}, where nothing is")
