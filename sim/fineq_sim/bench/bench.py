"""The base of every bench: a design with its configuration, its idle inputs, its clock and its streams.

    class TemporalEncoderBench(Bench[ArrayConfig]):
        inputs = ("load", "weights")

    tb = await TemporalEncoderBench.begun(dut, stall=0.4)

`stall` is the one way in which tests cross their payloads with the pace of the other side: every producer is idle in
about that share of the cycles and every consumer pushes back in about that share, each by its own random source.
Tests take it from `@cocotb.parametrize(stall=[0.0, 0.4])`, beside whatever else they vary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar, cast

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from fineq_sim.bench.disturbance import disturb
from fineq_sim.bench.power_up import check_outputs, fill_memories
from fineq_sim.bench.streams import StreamConsumer, StreamProducer, assert_empty
from fineq_sim.bench.testbench import parameters, random_source, reset, settle, start_clock
from fineq_sim.reference.payloads import find_config

Config = TypeVar("Config")
"""Kind of configuration that the design has."""


class Bench(Generic[Config]):
    """A design under test.

    Args:
        dut: the design, with ports `clk` and `rst` unless it is combinational.
        stall: share of the cycles in which each stream waits.
        salt: sets the random numbers of this bench apart from those of others.

    Attributes:
        settings: what the catalog passes to the bench.
        config: the configuration among them, if there is one.
        source: random numbers.
        streams: all streams made by `producer` and `consumer`.
        powering_up: in the first reset, which is not the design's alone.
    """

    inputs: ClassVar[tuple[str, ...]] = ()
    """Ports that are zero until a test says something else."""

    only_while: ClassVar[Mapping[str, str]] = {}
    """Outputs whose signature does not say when they mean something: by the port that does, or `power_up.NEVER`.
    Everything else must be known from the first reset on, a payload while it is valid."""

    def __init__(self, dut: Any, stall: float = 0.0, salt: str = "") -> None:
        self.dut = dut
        self.stall = stall
        self.settings = parameters()
        which = self.settings.get("config")
        self.config = cast(Config, None if which is None else find_config(which))
        self.source = random_source(salt)
        self.streams: list[StreamProducer | StreamConsumer] = []
        self.powering_up = False
        self._running: list[Any] = []
        self.drive(**dict.fromkeys(self.inputs, 0))

    # -- streams ---------------------------------------------------------------------------------------------

    def producer(self, name: str) -> StreamProducer:
        """Drives the input stream `name`, with pauses."""
        stream = StreamProducer.with_stalls(self.dut, name, self.stall)
        self.streams.append(stream)
        return stream

    def consumer(self, name: str) -> StreamConsumer:
        """Takes the output stream `name`, with pauses."""
        stream = StreamConsumer.with_stalls(self.dut, name, self.stall)
        self.streams.append(stream)
        return stream

    def start_streams(self) -> None:
        for stream in self.streams:
            stream.start()

    def stop_streams(self) -> None:
        """Transfer nothing more and forget what is queued."""
        for stream in self.streams:
            stream.stop()

    def assert_empty(self) -> None:
        """Nothing may be left over in any stream."""
        assert_empty(*self.streams)

    # -- time ------------------------------------------------------------------------------------------------

    @classmethod
    async def begun(cls, *args: Any, **options: Any) -> Self:
        """A bench with these arguments that has begun."""
        tb = cls(*args, **options)
        await tb.begin()
        return tb

    async def begin(self) -> None:
        """Clock, some cycles of random inputs, reset, streams."""
        await fill_memories(self.dut)
        self._running.append(start_clock(self.dut))
        self.powering_up = True
        await disturb(self.dut)
        await self.reset()
        self.powering_up = False
        checking = check_outputs(self.dut, self.only_while)
        if checking is not None:
            self._running.append(checking)

    def end(self) -> None:
        """Stop all that runs, so that another bench can begin in the same test."""
        self.stop_streams()
        for task in self._running:
            task.cancel()

    async def reset(self, cycles: int = 2) -> None:
        """Reset the design, at the beginning what is on its memory port too; the streams start afresh."""
        self.stop_streams()
        await reset(self.dut, cycles, bus=self.powering_up)
        self.start_streams()

    async def clock(self, cycles: int = 1) -> None:
        await ClockCycles(self.dut.clk, cycles)

    async def wait_for(self, port: str, value: int = 1, within: int = 10_000) -> None:
        """Clock until a port has a value.

        Raises:
            AssertionError: it did not within so many cycles.
        """
        signal = getattr(self.dut, port)
        for _ in range(within):
            await RisingEdge(self.dut.clk)
            if signal.value == value:
                return
        raise AssertionError(f"{port} did not become {value} within {within} cycles")

    async def finish(self, cycles: int = 20) -> None:
        """Nothing may come out any more, and nothing may be left."""
        await self.clock(cycles)
        self.assert_empty()

    # -- ports -----------------------------------------------------------------------------------------------

    def drive(self, **values: int) -> None:
        """Set input ports."""
        for name, value in values.items():
            getattr(self.dut, name).value = value

    async def pulse(self, **values: int) -> None:
        """Set input ports for one cycle, then to zero."""
        self.drive(**values)
        await RisingEdge(self.dut.clk)
        self.drive(**dict.fromkeys(values, 0))

    def read(self, port: str) -> int:
        """An output port now."""
        return int(getattr(self.dut, port).value)

    async def read_settled(self, port: str) -> int:
        """An output port after it has followed the inputs."""
        await settle()
        return self.read(port)

    def every_cycle(self, watch: Callable[[], None]) -> None:
        """Call `watch` at every clock edge from now on."""

        async def run() -> None:
            while True:
                await RisingEdge(self.dut.clk)
                watch()

        self._running.append(cocotb.start_soon(run()))
