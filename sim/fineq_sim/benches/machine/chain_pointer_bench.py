"""Pointers to chains with any bit set: what is refused is told with the whole pointer."""

from __future__ import annotations

import cocotb
from cocotb.task import bridge

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import POINTER_BITS
from fineq_sim.bench.bench import Bench
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport

MEMORY = 1 << 16
CYCLES = 200
"""More than a refusal takes."""


@cocotb.test()
async def a_refused_pointer_is_told_whole(dut):
    """Each bit alone, and all but one: below the memory's end it finds no descriptor, and beyond nothing is read."""
    config: AcceleratorConfig = Bench(dut).config
    transport = CocotbTransport(dut, config, memory_size=MEMORY)
    await transport.start()

    def check() -> None:
        registers = Accelerator(transport).registers
        every = (1 << POINTER_BITS) - 1
        for pointer in (choice for bit in range(POINTER_BITS) for choice in (1 << bit, every ^ 1 << bit)):
            registers.write("DESCRIPTOR", pointer)
            registers.write("CONTROL", start=1)
            transport.wait(CYCLES)
            status = registers.fields("STATUS")
            assert status["error"] and not status["busy"], f"a chain at {pointer:#x} is not refused: {status}"
            assert registers.read("CURRENT_DESCRIPTOR") == pointer
            if pointer >= MEMORY:
                assert registers.read("ERROR_ADDRESS") == pointer
            registers.write("STATUS", error=1)

    await bridge(check)()
