"""What the benches of AXI4 masters share: memories with pauses and errors, and a checker of the protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge
from cocotbext.axi import AxiReadBus, AxiSlaveRead, AxiSlaveWrite, AxiWriteBus
from cocotbext.axi.constants import AxiResp

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import PAGE_BYTES, Response
from fineq_hw.lib.axi import INCREMENTING, MASTER_PREFIX
from fineq_hw.lib.machine_streams import transfer_layout
from fineq_sim.bench.streams import stalls
from fineq_sim.bench.testbench import random_source
from fineq_sim.coverage.dma import sample_burst


class Memory:
    """Bytes behind an AXI4 port; accesses to a faulty address fail.

    Attributes:
        bytes: the contents; accesses beyond fail.
        faults: addresses of words that answer with an error.
        answer: the error.
        success: what all other words answer.
        written: bytes written so far.
    """

    def __init__(self, size: int, seed: str) -> None:
        self.bytes = bytearray(random_source(f"memory {seed}").randbytes(size))
        self.faults: set[int] = set()
        self.answer, self.success = Response.SLVERR, Response.OKAY
        self.written = 0

    async def read(self, address: int, length: int) -> bytes:
        self._check(address, length)
        return bytes(self.bytes[address : address + length])

    async def write(self, address: int, data: bytes) -> None:
        self._check(address, len(data))
        self.bytes[address : address + len(data)] = data
        self.written += len(data)

    def _check(self, address: int, length: int) -> None:
        if address + length > len(self.bytes) or any(address <= fault < address + length for fault in self.faults):
            raise ValueError(f"no memory at {address:#x}")


def pauses(name: str, share: float) -> Iterator[bool]:
    """For a channel of a bus model: whether it waits, cycle by cycle, in about `share` of them."""
    stall = stalls(random_source(f"pause {name}"), share)
    while True:
        yield stall()


def read_memory(dut, memory: Memory, stall: float = 0.0) -> AxiSlaveRead:
    """Attach a memory to the AR and R channels of a design. It forgets nothing at `rst`, everything at `bus_rst`.

    Args:
        dut: the design, with ports `m_axi_ar...` and `m_axi_r...`.
        memory: what is read.
        stall: share of the cycles in which a channel pauses.
    """
    slave = AxiSlaveRead(AxiReadBus.from_prefix(dut, MASTER_PREFIX), dut.clk, dut.bus_rst, target=memory)
    _prepare(slave, ("ar_channel", "r_channel"), slave.r_channel, "rresp", stall, memory)
    return slave


def write_memory(dut, memory: Memory, stall: float = 0.0) -> AxiSlaveWrite:
    """As `read_memory`, for the AW, W and B channels."""
    slave = AxiSlaveWrite(AxiWriteBus.from_prefix(dut, MASTER_PREFIX), dut.clk, dut.bus_rst, target=memory)
    _prepare(slave, ("aw_channel", "w_channel", "b_channel"), slave.b_channel, "bresp", stall, memory)
    return slave


def _prepare(slave, channels: tuple[str, ...], answers, field: str, stall: float, memory: Memory) -> None:
    if stall:
        for name in channels:
            getattr(slave, name).set_pause_generator(pauses(name, stall))
    send = answers.send

    async def send_response(transaction) -> None:
        failed = getattr(transaction, field) == AxiResp.SLVERR  # the only error that the model knows
        setattr(transaction, field, (memory.answer if failed else memory.success).value)
        await send(transaction)

    answers.send = send_response


@dataclass
class Beat:
    """One handshake: the cycle in which it took place, and the values of the channel's signals."""

    cycle: int
    values: dict[str, int]

    def __getattr__(self, name: str) -> int:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


class ChannelMonitor:
    """Watches a channel: valid stays until ready, and what is offered does not change in the meantime.

    Attributes:
        beats: all handshakes.
        offers: beats offered so far, the one on offer included.
        cycle: clock edges since the monitor was made.
    """

    def __init__(self, dut, channel: str, fields: tuple[str, ...]) -> None:
        prefix = f"{MASTER_PREFIX}_{channel}"
        self.name = channel
        self.clock = dut.clk
        self.valid, self.ready = getattr(dut, f"{prefix}valid"), getattr(dut, f"{prefix}ready")
        self.fields = {name: getattr(dut, prefix + name) for name in fields}
        self.beats: list[Beat] = []
        self.offers = 0
        self.cycle = 0
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        held: dict[str, int] | None = None
        while True:
            await RisingEdge(self.clock)
            self.cycle += 1
            if self.valid.value != 1:
                assert held is None, f"{self.name}: valid fell before the beat was taken"
                continue
            values = {name: int(signal.value) for name, signal in self.fields.items()}
            assert held in (None, values), f"{self.name}: {held} became {values} before it was taken"
            self.offers += held is None
            held = values
            if self.ready.value == 1:
                self.beats.append(Beat(self.cycle, values))
                self.on_beat(self.beats[-1])
                held = None

    def on_beat(self, beat: Beat) -> None:
        """Called for every handshake."""


class AddressMonitor(ChannelMonitor):
    """Watches AR or AW: every burst is of whole words, not too long and inside its page."""

    def __init__(self, dut, channel: str, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(dut, channel, ("id", "addr", "len", "size", "burst", "cache", "prot"))

    def on_beat(self, beat: Beat) -> None:
        config, beats = self.config, beat.len + 1
        assert beat.id == 0 and beat.burst == INCREMENTING and 1 << beat.size == config.bus_bytes
        assert (beat.prot, beat.cache) == (config.protection, config.cacheability), f"{self.name}: {beat}"
        assert beat.addr % config.bus_bytes == 0, f"{self.name}: {beat.addr:#x} is not aligned"
        assert beats <= config.max_burst_beats, f"{self.name}: {beats} beats, at most {config.max_burst_beats}"
        end = beat.addr + beats * config.bus_bytes - 1
        assert beat.addr // PAGE_BYTES == end // PAGE_BYTES, f"{self.name}: {beat.addr:#x} to {end:#x} cross a page"
        sample_burst(self.name, beat.addr, beats, config)

    def bursts(self) -> list[tuple[int, int]]:
        """Address and beats of all bursts."""
        return [(beat.addr, beat.len + 1) for beat in self.beats]


@dataclass(frozen=True)
class Transfer:
    """A command of a DMA engine, and what it means."""

    address: int
    row_bytes: int
    rows: int
    stride: int

    def payload(self, config: AcceleratorConfig) -> int:
        fields: dict[str, Any] = vars(self)
        return transfer_layout(config).const(fields).as_value().value

    def row_words(self, config: AcceleratorConfig) -> int:
        return -(-self.row_bytes // config.bus_bytes)

    def words(self, config: AcceleratorConfig) -> list[tuple[int, bool, bool]]:
        """Address of every word, whether it is the last of its row, and of the transfer."""
        count = self.row_words(config)
        return [
            (
                self.address + row * self.stride + word * config.bus_bytes,
                word == count - 1,
                word == count - 1 and row == self.rows - 1,
            )
            for row in range(self.rows)
            for word in range(count)
        ]

    def bursts(self, config: AcceleratorConfig) -> list[tuple[int, int]]:
        """Address and beats of the bursts that it must become: as long as the rules allow."""
        bursts: list[tuple[int, int]] = []
        fresh = True
        for address, row_last, _ in self.words(config):
            if fresh or bursts[-1][1] == config.max_burst_beats or address % PAGE_BYTES == 0:
                bursts.append((address, 0))
            bursts[-1] = (bursts[-1][0], bursts[-1][1] + 1)
            fresh = row_last
        return bursts
