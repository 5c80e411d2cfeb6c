"""Drivers and checkers of ready/valid streams: independent, with random delays, ending on empty queues.

A beat is transferred at a rising clock edge where `valid` and `ready` are both high. The producer keeps its
own rules (a payload once offered stays); the consumer checks that the design keeps them too.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import cocotb
from cocotb.triggers import RisingEdge

from fineq_sim.bench.testbench import random_source

Stall = Callable[[], bool]
"""Asked once a cycle: True means wait."""


def never() -> bool:
    return False


def stalls(source: random.Random, share: float) -> Stall:
    """Wait in about `share` of the cycles, in bursts now and then so that queues really fill up."""
    burst = 0

    def stall() -> bool:
        nonlocal burst
        if burst:
            burst -= 1
            return True
        if source.random() < share / 10:
            burst = source.randrange(3, 12)
        return source.random() < share

    return stall if share else never


class _Stream:
    def __init__(self, dut: Any, name: str):
        self.name = name
        self.clock = dut.clk
        self.payload = getattr(dut, f"{name}__payload")
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        self.beats = 0
        """Beats transferred since `start`."""
        self.cycles: list[int] = []
        """Clock edge, counted since `start`, of every transfer."""
        self.edge = 0
        self._task: Any = None

    def start(self) -> None:
        """Begin to transfer beats; edges are counted from here."""
        self._cancel()
        self.beats, self.edge = 0, 0
        self.cycles = []
        self._task = cocotb.start_soon(self._run())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        raise NotImplementedError


class StreamProducer(_Stream):
    """Drives the input stream `name` of a design from a queue of payloads."""

    def __init__(self, dut: Any, name: str, source: random.Random, stall: Stall = never):
        super().__init__(dut, name)
        self.queue: deque[int] = deque()
        self.stall = stall
        self.source = source
        self.width = len(self.payload)
        self.valid.value = 0
        self.payload.value = 0

    @classmethod
    def with_stalls(cls, dut: Any, name: str, share: float) -> StreamProducer:
        """A producer that waits in about `share` of the cycles, by its own random source."""
        return cls(dut, name, random_source(f"noise {name}"), stalls(random_source(f"stall {name}"), share))

    def send(self, payloads: Iterable[int]) -> None:
        self.queue.extend(payloads)

    def stop(self) -> None:
        """Transfer nothing more and forget what is queued."""
        self._cancel()
        self.queue.clear()
        self.valid.value = 0

    async def _run(self) -> None:
        while True:
            if not self.queue or self.stall():
                self.valid.value = 0
                # What stands on the payload of an idle stream must not matter.
                self.payload.value = self.source.getrandbits(self.width)
                await RisingEdge(self.clock)
                self.edge += 1
                continue
            self.payload.value = self.queue[0]
            self.valid.value = 1
            while True:
                await RisingEdge(self.clock)
                self.edge += 1
                if self.ready.value == 1:
                    break
            self.queue.popleft()
            self.beats += 1
            self.cycles.append(self.edge)


class StreamConsumer(_Stream):
    """Takes the output stream `name` of a design into a queue, and checks the rules of a stream every cycle.

    Raises (in the test):
        AssertionError: `valid` fell or the payload changed while the beat was offered and not taken.
    """

    def __init__(self, dut: Any, name: str, stall: Stall = never):
        super().__init__(dut, name)
        self.queue: deque[int] = deque()
        self.stall = stall
        self.ready.value = 0

    @classmethod
    def with_stalls(cls, dut: Any, name: str, share: float) -> StreamConsumer:
        """A consumer that waits in about `share` of the cycles, by its own random source."""
        return cls(dut, name, stalls(random_source(f"stall {name}"), share))

    def stop(self) -> None:
        """Transfer nothing more and forget what is queued."""
        self._cancel()
        self.queue.clear()
        self.ready.value = 0

    async def _run(self) -> None:
        held: int | None = None
        while True:
            ready = not self.stall()
            self.ready.value = int(ready)
            await RisingEdge(self.clock)
            self.edge += 1
            if self.valid.value != 1:
                assert held is None, f"{self.name}: valid fell before the beat was taken"
                continue
            payload = int(self.payload.value)
            assert held is None or held == payload, f"{self.name}: payload changed before the beat was taken"
            held = None if ready else payload
            if ready:
                self.queue.append(payload)
                self.beats += 1
                self.cycles.append(self.edge)

    async def receive(self, count: int, within: int = 10_000) -> list[int]:
        """Take `count` beats from the queue.

        Raises:
            AssertionError: they did not come within `within` clock cycles.
        """
        for _ in range(within):
            if len(self.queue) >= count:
                return [self.queue.popleft() for _ in range(count)]
            await RisingEdge(self.clock)
        raise AssertionError(f"{self.name}: {len(self.queue)} of {count} beats came within {within} cycles")


def assert_empty(*streams: StreamProducer | StreamConsumer) -> None:
    """Nothing may be left over: neither unsent beats nor beats that nobody expected."""
    for stream in streams:
        assert not stream.queue, f"{stream.name}: {len(stream.queue)} beats left over"
