"""A memory that stops answering: the watchdog ends the chain, and the machine works again when the memory does."""

from __future__ import annotations

from itertools import product

import cocotb
import numpy as np
from cocotb.task import bridge

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.error_codes import ErrorCode
from fineq_sim.bench.bench import Bench
from fineq_sim.coverage.machine import SILENCE
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.exceptions import AcceleratorError, AcceleratorTimeout
from fineq_sim.driver.samples import Prepared

MEMORY = 1 << 17
LIMIT = 100
"""Silent cycles that the watchdog allows here."""

TIGHT_LIMIT = 12
"""Silent cycles that a memory without pauses never has."""

CHANNELS = ("ar", "r", "aw", "w", "b")
MOMENTS = (0, 40, 150, 400, 700)


class SilentMemoryBench(Bench[AcceleratorConfig]):
    """A machine that works off one job for ever, behind a memory whose channels can be held."""

    def __init__(self, dut) -> None:
        super().__init__(dut, salt="silent memory")
        self.transport = CocotbTransport(dut, self.config, memory_size=MEMORY)

    async def begin(self) -> None:
        await self.transport.start()

    def use(self, watchdog: int) -> None:
        """The driver takes the machine; a job of several tiles is prepared."""
        self.machine = Accelerator(self.transport, watchdog=watchdog)
        config = self.config
        shape = (config.array.rows + 1, 2 * config.channels_per_tile, config.array.columns)
        self.prepared = Prepared(self.machine, shape=shape)

    def run_for_ever(self, cycles: int) -> None:
        """Start the job with itself as the next one, and let it run."""
        self.prepared.write(last=0, next=self.prepared.address)
        self.machine.registers.write("DESCRIPTOR", self.prepared.address)
        self.machine.registers.write("CONTROL", start=1)
        self.transport.wait(cycles)

    def gives_up(self) -> None:
        """The chain ends by the watchdog, soon, and says so."""
        registers = self.machine.registers
        self.transport.wait(20 * LIMIT)
        assert registers.fields("STATUS") == dict.fromkeys(registers.fields("STATUS"), 0) | {
            "error": 1,
            "memory_pending": 1,
        }
        assert registers.fields("ERROR")["code"] == ErrorCode.MEMORY_TIMEOUT
        assert registers.read("ERROR_ADDRESS") == registers.read("CURRENT_DESCRIPTOR") == self.prepared.address
        registers.write("STATUS", error=1)

    def works_again(self) -> None:
        self.transport.silence(())
        self.prepared.check_usable()
        assert not self.machine.registers.fields("STATUS")["memory_pending"]


@cocotb.test()
@cocotb.parametrize(channel=CHANNELS, moment=MOMENTS)
async def the_watchdog_ends_the_chain(dut, channel, moment):
    """Whichever channel falls silent, in whatever stage; a chain that is started meanwhile waits, and ends as well."""
    tb = SilentMemoryBench(dut)
    await tb.begin()

    def check() -> None:
        tb.use(LIMIT)
        tb.run_for_ever(moment)
        tb.transport.silence([channel])
        tb.gives_up()
        SILENCE.sample(channel=channel, ends="chain given up")
        tb.transport.silence(CHANNELS)
        tb.run_for_ever(1)
        tb.gives_up()
        SILENCE.sample(channel="all", ends="later chain given up")
        tb.works_again()

    await bridge(check)()


@cocotb.test()
async def the_watchdog_ends_the_chain_when_all_is_silent(dut):
    tb = SilentMemoryBench(dut)
    await tb.begin()

    def check() -> None:
        tb.use(LIMIT)
        tb.run_for_ever(MOMENTS[2])
        tb.transport.silence(CHANNELS)
        tb.gives_up()
        SILENCE.sample(channel="all", ends="chain given up")
        tb.works_again()

    await bridge(check)()


@cocotb.test()
@cocotb.parametrize((("moment", "channel"), [*product(MOMENTS, ["all"]), *product(MOMENTS[2:4], CHANNELS)]))
async def without_it_the_driver_brings_the_machine_back(dut, moment, channel):
    """Off, the machine waits for ever; the ways out, watchdog and reset line, leave a usable machine."""
    patience = (40 if channel == "all" else 12) * LIMIT
    tb = SilentMemoryBench(dut)
    await tb.begin()

    def check() -> None:
        tb.use(0)
        tb.run_for_ever(moment)
        tb.transport.silence(CHANNELS if channel == "all" else [channel])
        tb.transport.wait(patience)
        tb.machine.registers.write("CONTROL", soft_reset=1)
        tb.transport.wait(patience)
        assert tb.machine.registers.fields("STATUS")["busy"], "an abort waits for the memory"
        if moment % 4:
            SILENCE.sample(channel=channel, ends="reset line")
            tb.transport.reset()  # by the line alone, as a driver that gives up all hope
            tb.machine._configure()
            assert not tb.machine.registers.fields("STATUS")["busy"]
        else:
            SILENCE.sample(channel=channel, ends="abort given up")
            tb.machine.registers.write("WATCHDOG", LIMIT)
            tb.transport.wait(20 * LIMIT)
            assert tb.machine.registers.fields("ERROR")["code"] == ErrorCode.ABORTED, "the first reason counts"
            tb.machine.registers.write("STATUS", error=1)
            tb.machine.registers.write("WATCHDOG", 0)
        tb.works_again()

    await bridge(check)()


@cocotb.test()
async def the_driver_times_out(dut):
    """A run on a silent memory is an error that leaves nothing behind."""
    tb = SilentMemoryBench(dut)
    await tb.begin()

    def check() -> None:
        tb.use(0)
        tb.transport.silence(("r",))
        try:
            tb.machine.run_descriptors(tb.prepared.address, 2000)
        except AcceleratorTimeout as error:
            assert "the machine is busy" in str(error)
        else:
            raise AssertionError("a silent memory answered")
        assert not tb.machine.registers.fields("STATUS")["busy"]
        tb.works_again()
        tb.machine = Accelerator(tb.transport, watchdog=LIMIT)
        tb.prepared.machine = tb.machine
        tb.transport.silence(("b",))
        try:
            tb.prepared.write()
            tb.prepared.run()
        except AcceleratorError as error:
            assert error.code == "MEMORY_TIMEOUT", str(error)
        else:
            raise AssertionError("a silent memory answered")
        tb.works_again()

    await bridge(check)()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.6])
async def a_memory_that_answers_is_left_alone(dut, stall):
    """The tightest limit that the memory keeps, and clients that do not take their words for long."""
    transport = CocotbTransport(dut, Bench(dut).config, memory_size=MEMORY, stall=stall)
    await transport.start()

    def check() -> None:
        machine = Accelerator(transport, watchdog=LIMIT if stall else TIGHT_LIMIT)
        config = machine.config
        shape = (config.array.rows + 1, config.channels_per_tile + 3, 2 * config.array.columns + 1)
        prepared = Prepared(machine, shape=shape)
        prepared.check_usable()
        assert np.any(prepared.read())

    await bridge(check)()
