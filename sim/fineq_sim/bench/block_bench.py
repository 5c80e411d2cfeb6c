"""What the benches of the accelerator's blocks share: a job, its start, and a read engine that always delivers."""

from __future__ import annotations

import random
from enum import Enum

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.machine_streams import job_layout, read_word_layout, transfer_layout
from fineq_sim.bench.axi_memory import Transfer
from fineq_sim.bench.streams import StreamConsumer, StreamProducer
from fineq_sim.bench.testbench import parameters, random_source, reset, start_clock
from fineq_sim.reference.payloads import find_config


class BlockBench:
    """A block of the accelerator with its job.

    Attributes:
        config: the accelerator.
        source: random numbers.
        rng: the same for numpy.
    """

    def __init__(self, dut, salt: str = "") -> None:
        self.dut = dut
        self.config: AcceleratorConfig = find_config(parameters()["config"])
        self.source: random.Random = random_source(f"block {salt}")
        self.rng = np.random.default_rng(self.source.getrandbits(32))
        dut.start.value = 0
        dut.job.value = 0
        start_clock(dut)

    async def begin(self) -> None:
        await reset(self.dut)

    async def start(self, tokens: int, channels: int, inner: int, **fields: int | Enum) -> None:
        """Start a job of M tokens, N channels and K inputs."""
        tiles = inner_tiles(inner, self.config)
        groups = -(-tiles // self.config.line_slices)
        values = {"tokens": tokens, "channels": channels, "inner_tiles": tiles, "line_groups": groups, **fields}
        values = {name: getattr(value, "value", value) for name, value in values.items()}
        assert self.dut.busy.value == 0, "still busy with the job before"
        self.dut.job.value = job_layout(self.config).const(values).as_value().value
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0

    async def finish(self, within: int = 200) -> None:
        """The block must come to rest."""
        for _ in range(within):
            await RisingEdge(self.dut.clk)
            if self.dut.busy.value == 0:
                return
        raise AssertionError(f"still busy after {within} cycles")

    async def rest(self) -> None:
        """Nothing more may happen."""
        await ClockCycles(self.dut.clk, 20)
        assert self.dut.busy.value == 0

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


class ReadEngine:
    """Takes a block's commands and delivers the words of a memory, as the real engine does.

    Attributes:
        transfers: commands taken so far.
    """

    def __init__(self, dut, config: AcceleratorConfig, memory: np.ndarray, stall: float = 0.0) -> None:
        self.dut, self.config, self.memory = dut, config, memory
        self.commands = StreamConsumer.with_stalls(dut, "commands", stall)
        self.words = StreamProducer.with_stalls(dut, "words", stall)
        self.transfers: list[Transfer] = []

    def start(self) -> None:
        self.commands.start()
        self.words.start()
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            (payload,) = await self.commands.receive(1, within=1_000_000)
            command = transfer_layout(self.config).from_bits(payload)
            self.transfers.append(Transfer(command.address, command.row_bytes, command.rows, command.stride))
            self.words.send(self._payloads(self.transfers[-1]))

    def _payloads(self, transfer: Transfer):
        size = self.config.bus_bytes
        for address, row_last, last in transfer.words(self.config):
            assert address % size == 0 and address + size <= len(self.memory), f"read at {address:#x}"
            word = int.from_bytes(self.memory[address : address + size].tobytes(), "little")
            fields = {"data": word, "row_last": int(row_last), "last": int(last)}
            yield read_word_layout(self.config).const(fields).as_value().value
