"""Queues against a list: every handshake, level and payload in every cycle, resets and clears at any moment."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import cocotb

from fineq_hw.config import AcceleratorConfig
from fineq_hw.dma.write_dma import OUTSTANDING_WRITES, gather_depth
from fineq_hw.lib.block_fifo import BlockFifo
from fineq_hw.lib.queue import Queue
from fineq_hw.lib.stream_fifo import StreamFifo
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.settings import INPUT_PORTS
from fineq_sim.bench.testbench import settle

QUEUES: dict[str, tuple[type[Queue], Callable[[AcceleratorConfig], int]]] = {
    "tickets": (StreamFifo, lambda config: config.outstanding_reads),
    "lengths": (StreamFifo, lambda config: OUTSTANDING_WRITES),
    "unanswered": (StreamFifo, lambda config: OUTSTANDING_WRITES),
    "queue": (BlockFifo, gather_depth),
}
"""Kind and entries of each queue, by its name in the engine that has it."""

CYCLES = 600


class QueueBench(Bench[AcceleratorConfig]):
    """A queue whose ports are driven directly, so that no rule of streams holds anything back.

    Attributes:
        depth: entries.
        kept: the reset leaves the entries alone, and `clear` takes them.
        registered: an entry is offered from a register.
        waiting: entries that can be offered next.
        offered: entry in the output register of a queue that has one.
    """

    inputs = ("input__valid", "input__payload", "output__ready")

    def __init__(self, dut) -> None:
        super().__init__(dut, salt="queue")
        kind, depth = QUEUES[self.settings["part"]]
        self.depth = depth(self.config)
        self.kept = "clear" in self.settings[INPUT_PORTS]
        self.registered = kind is BlockFifo
        self.bits = len(dut.input__payload)
        self.waiting: deque[int] = deque()
        self.offered: int | None = None
        self.full = self.emptied = 0

    async def reset(self, cycles: int = 2) -> None:
        if self.kept:
            self.drive(clear=1)
        await super().reset(cycles)
        if self.kept:
            self.drive(clear=0)

    async def cycle(self, arriving: float, leaving: float, forget: float = 0.0) -> None:
        """One cycle: random inputs, all outputs checked, the model a step further."""
        source = self.source
        valid, ready = int(source.random() < arriving), int(source.random() < leaving)
        payload = source.getrandbits(self.bits)
        reset, clear = int(source.random() < forget), int(self.kept and source.random() < forget)
        self.drive(input__valid=valid, input__payload=payload, output__ready=ready, rst=reset)
        if self.kept:
            self.drive(clear=clear)
        await settle()
        room = self.depth - (1 if self.registered else 0)
        head = self.offered if self.registered else (self.waiting[0] if self.waiting else None)
        accepts = len(self.waiting) < room
        assert self.read("input__ready") == accepts, f"{len(self.waiting)} of {room} entries wait"
        assert self.read("output__valid") == (head is not None)
        if head is not None:
            assert self.read("output__payload") == head
        if not self.registered:
            assert self.read("level") == len(self.waiting)
        self.full += not accepts
        await self.clock()
        load = bool(self.waiting) and (self.offered is None or bool(ready))
        if self.registered:
            if load:
                self.offered = self.waiting.popleft()
            elif ready:
                self.offered = None
        elif self.waiting and ready:
            self.waiting.popleft()
        if valid and accepts:
            self.waiting.append(payload)
        if clear or (reset and not self.kept):
            self.waiting.clear()
            self.offered = None
            self.emptied += 1

    async def begin(self) -> None:
        await super().begin()
        self.waiting.clear()
        self.offered = None


@cocotb.test()
@cocotb.parametrize(pace=["even", "fills", "drains"])
async def first_in_first_out(dut, pace):
    """At every level, in and out in the same cycle too."""
    tb = await QueueBench.begun(dut)
    arriving, leaving = {"even": (0.6, 0.6), "fills": (0.9, 0.3), "drains": (0.3, 0.9)}[pace]
    for _ in range(CYCLES):
        await tb.cycle(arriving, leaving)
    while tb.waiting or tb.offered is not None:
        await tb.cycle(0.0, 1.0)
    await tb.cycle(0.0, 1.0)
    assert tb.full or pace == "drains", "never full"


@cocotb.test()
async def an_entry_a_cycle(dut):
    """Without pauses on either side."""
    tb = await QueueBench.begun(dut)
    for _ in range(10 * tb.depth):
        await tb.cycle(1.0, 1.0)


@cocotb.test()
async def forgets_when_told(dut):
    """The reset, or of a queue that outlives it `clear` alone."""
    tb = await QueueBench.begun(dut)
    for _ in range(CYCLES):
        await tb.cycle(0.8, 0.4, forget=0.03)
    assert tb.emptied
