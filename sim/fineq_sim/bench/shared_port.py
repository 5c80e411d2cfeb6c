"""Unfriendly memories that AXI4 allows: one port for reads and writes, a bridge that keeps their order, late answers.

A memory with a port of its own for each direction forgives a master that holds a write open while it reads. These do
not: once they have taken the address of a burst, they serve nothing else until it has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiSlaveRead, AxiSlaveWrite

from fineq_sim.bench.axi_memory import Memory, read_memory, write_memory

KINDS = ("two-ports", "one-port", "in-order", "late-answers")
"""`two-ports`: a port for each direction. `one-port`: takes an address when the burst before has ended. `in-order`: a
bridge that takes addresses ahead and serves reads and writes in the order in which it took them. `late-answers`: two
ports, and every write is answered `ANSWER_DELAY` cycles late.
"""

ANSWER_DELAY = 41


class SharedPort:
    """Lets one burst pass at a time, in the order in which their addresses came.

    Args:
        read, write: the slaves behind the two directions.
        ahead: whether addresses are taken while a burst is under way.
    """

    def __init__(self, read: AxiSlaveRead, write: AxiSlaveWrite, *, ahead: bool) -> None:
        self.clock = read.ar_channel.clock
        self.addresses = [read.ar_channel, write.aw_channel]
        self.ahead = ahead
        self.line: list[object] = []
        """Bursts that were taken, the one that is served first."""
        for channel in self.addresses:
            channel.queue_occupancy_limit = 2 if ahead else 1
            self._wait_for_turn(channel)
        self._end_turn(read.r_channel, lambda word: bool(word.rlast))
        self._end_turn(write.b_channel, lambda answer: True)

    def forget(self) -> None:
        """After a reset of the memory."""
        self.line.clear()
        self._hold(False)

    def _hold(self, busy: bool) -> None:
        if not self.ahead:
            for channel in self.addresses:
                channel.pause = busy

    def _wait_for_turn(self, channel) -> None:
        receive = channel.recv

        async def receive_in_turn():
            address = await receive()
            burst = object()
            self.line.append(burst)
            self._hold(True)
            while self.line and self.line[0] is not burst:
                await RisingEdge(self.clock)
            return address

        channel.recv = receive_in_turn

    def _end_turn(self, answers, is_last: Callable[[Any], bool]) -> None:
        """Pass the turn on behind the answer that ends a burst."""
        send = answers.send

        async def send_and_pass_on(answer) -> None:
            await send(answer)
            if not is_last(answer):
                return
            while not answers.idle():
                await RisingEdge(self.clock)
            if self.line:
                self.line.pop(0)
            self._hold(bool(self.line))

        answers.send = send_and_pass_on


def attach_memory(dut, memory: Memory, kind: str = "two-ports", **settings) -> tuple[AxiSlaveRead, AxiSlaveWrite]:
    """Attach a memory of some kind to both directions of a design's AXI4 port.

    Args:
        dut: the design.
        memory: the bytes.
        kind: one of `KINDS`.
        settings: as `read_memory`.

    Returns:
        The models of the two directions.
    """
    if kind not in KINDS:
        raise ValueError(f"memory kind {kind!r}: choose one of {', '.join(KINDS)}")
    read, write = read_memory(dut, memory, **settings), write_memory(dut, memory, **settings)
    if kind == "late-answers":
        _delay_answers(write)
    if kind not in ("one-port", "in-order"):
        return read, write
    port = SharedPort(read, write, ahead=kind == "in-order")

    async def watch_reset() -> None:
        while True:
            await RisingEdge(dut.bus_rst)
            port.forget()

    cocotb.start_soon(watch_reset())
    return read, write


def _delay_answers(write: AxiSlaveWrite) -> None:
    send = write.b_channel.send

    async def send_late(answer) -> None:
        await ClockCycles(write.aw_channel.clock, ANSWER_DELAY)
        await send(answer)

    write.b_channel.send = send_late
