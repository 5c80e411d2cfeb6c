"""The self-test of a board through its pins: the lights, and what the line says. Run by `test_board_top.py`."""

from __future__ import annotations

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles

from fineq_hw.interface.link import LINK_MAGIC, LinkRegister
from fineq_sim.bench.serial_pins import SerialPins
from fineq_sim.bench.testbench import parameters
from fineq_sim.link.port import LinkPort

LIMIT = 100_000
"""Cycles in which the verdict must come."""

VERDICTS = {"passed": 1, "failed": 2}
"""What the link's register says."""


@cocotb.test()
async def the_lights_say_what_the_line_says(dut):
    settings = parameters()
    verdict = settings["verdict"]
    other = next(name for name in VERDICTS if name != verdict)
    dut.rx.value = 1
    cocotb.start_soon(Clock(dut.clk, 40, "ns").start())

    def lit(name: str) -> bool:
        return int(getattr(dut, name).value) == settings["on"]

    await ClockCycles(dut.clk, 1)  # before, nothing drives the pins of a simulation
    cycles = 1
    while not (lit("passed") or lit("failed")):
        await ClockCycles(dut.clk, 1)
        cycles += 1
        assert cycles < LIMIT, "no light goes on"
    dut._log.info("light after %d cycles", cycles)
    assert lit(verdict) and not lit(other)
    assert cycles > settings["steps"], "the light is on before the script can have been played"
    port = LinkPort(SerialPins(dut, settings["divisor"]))

    def ask() -> None:
        assert port.link_register(LinkRegister.MAGIC) == LINK_MAGIC
        assert port.link_register(LinkRegister.SELFTEST) == VERDICTS[verdict]

    await bridge(ask)()
    assert lit(verdict) and not lit(other), "a verdict stays"
