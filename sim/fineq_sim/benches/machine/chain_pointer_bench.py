"""Pointers to chains with any bit set: what is refused is told with the whole pointer."""

from __future__ import annotations

import cocotb
from cocotb.task import bridge
from cocotb.triggers import ClockCycles

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.descriptors import WORD_BITS
from fineq_hw.interface.jobs import POINTER_BITS
from fineq_hw.interface.registers import REGISTERS, WORD_BYTES
from fineq_sim.bench.bench import Bench
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.registers import RegisterPort

MEMORY = 1 << 16
CYCLES = 200
"""More than a refusal takes."""
MOMENTS = range(12)
"""Cycles from the write that starts a chain to a read: from before the start to after the refusal."""


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


@cocotb.test()
async def the_pointer_is_whole_from_the_first_cycle(dut):
    """CURRENT_DESCRIPTOR read in every cycle around a start: the chain before, then this one, nothing in between.

    The descriptor unit names the pointer again a few cycles later, so only these cycles show what the start took over.
    """
    config: AcceleratorConfig = Bench(dut).config
    transport = CocotbTransport(dut, config, memory_size=MEMORY)
    await transport.start()
    registers = RegisterPort(transport)
    every = (1 << POINTER_BITS) - 1
    before, pointer = every // 3, every ^ every // 3  # bits in turn: all of them differ, and both are refused

    def refused(chain: int) -> None:
        registers.write("DESCRIPTOR", chain)
        registers.write("CONTROL", start=1)
        transport.wait(CYCLES)
        assert registers.read("CURRENT_DESCRIPTOR") == chain
        registers.write("STATUS", error=1)

    for old, new in ((before, pointer), (pointer, before)):
        for word in range(POINTER_BITS // WORD_BITS):
            address = REGISTERS["CURRENT_DESCRIPTOR"].offset + word * WORD_BYTES
            seen: list[int] = []
            for moment in MOMENTS:
                await bridge(refused)(old)
                await bridge(registers.write)("DESCRIPTOR", new)
                start = cocotb.start_soon(bridge(registers.write)("CONTROL", start=1))
                await ClockCycles(dut.clk, moment)
                value = await bridge(transport.read_register)(address)
                assert value is not None, "CURRENT_DESCRIPTOR cannot be read"
                seen.append(value)
                await start
                await ClockCycles(dut.clk, CYCLES)
            parts = [chain >> word * WORD_BITS & (1 << WORD_BITS) - 1 for chain in (old, new)]
            assert set(seen) == set(parts), [hex(value) for value in seen]
            assert seen == sorted(seen, key=parts.index), [hex(value) for value in seen]
