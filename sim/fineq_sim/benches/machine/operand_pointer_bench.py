"""Operands and results with any bit of their address set: a bus error names the address that was asked for."""

from __future__ import annotations

import cocotb
from cocotb.task import bridge

from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_hw.interface.error_codes import REGIONS, ErrorCode
from fineq_sim.bench.bench import Bench
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.samples import Prepared

MEMORY = 1 << 14
WITHIN = 20_000
"""Cycles, more than the small job takes."""

OPERANDS = [region for region in REGIONS if region not in ("descriptor", "next")]


@cocotb.test()
async def operands_may_lie_anywhere(dut):
    """Each bit alone of the address of each operand and of the results, the memory ending below; then the job runs."""
    config: AcceleratorConfig = Bench(dut).config
    transport = CocotbTransport(dut, config, memory_size=MEMORY)
    await transport.start()

    def check() -> None:
        machine = Accelerator(transport)
        registers, prepared = machine.registers, Prepared(machine)
        limit = registers.read("MEMORY_LIMIT")
        registers.write("MEMORY_LIMIT", (1 << config.address_bits) - 1)
        for region in OPERANDS:
            wanted = ErrorCode.WRITE_SLAVE_ERROR if region == "destination" else ErrorCode.READ_SLAVE_ERROR
            for bit in range(ALIGNMENT.bit_length() - 1, config.address_bits):
                # Few enough that nothing else overlaps, and where the bit is set already it is kept.
                pointer = prepared.fields[region] | 1 << bit
                if pointer < MEMORY:
                    continue
                prepared.write(**{region: pointer})
                registers.write("DESCRIPTOR", prepared.address)
                registers.write("CONTROL", start=1)
                for _ in range(WITHIN // 100):
                    transport.wait(100)
                    if not registers.fields("STATUS")["busy"]:
                        break
                found = registers.fields("ERROR")["code"], registers.read("ERROR_ADDRESS")
                assert found == (wanted.value, pointer), f"{region} at {pointer:#x}: {found[0]:#x} at {found[1]:#x}"
                registers.write("STATUS", error=1)
        registers.write("MEMORY_LIMIT", limit)
        prepared.check_usable()

    await bridge(check)()
