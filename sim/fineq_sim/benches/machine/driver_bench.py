"""The driver on the whole accelerator: the checks that every transport must pass, with and without a slow memory."""

from __future__ import annotations

import cocotb
from cocotb.task import bridge

from fineq_hw.config import AcceleratorConfig
from fineq_sim.bench.testbench import parameters
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.conformance import CHECKS
from fineq_sim.reference.payloads import find_config

MEMORY = 1 << 16


@cocotb.test()
@cocotb.parametrize(check=[cocotb.Param(name, name) for name in CHECKS], stall=[0.0, 0.4])
async def test_driver(dut, check, stall):
    await run_check(dut, check, stall=stall)


async def run_check(dut, check: str, **memory) -> None:
    config = find_config(parameters()["config"])
    assert isinstance(config, AcceleratorConfig)
    transport = CocotbTransport(dut, config, memory_size=MEMORY, **memory)
    await transport.start()
    await bridge(lambda: CHECKS[check](Accelerator(transport)))()
