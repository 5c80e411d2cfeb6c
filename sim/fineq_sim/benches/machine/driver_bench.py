"""The driver on the whole accelerator: the checks that every transport must pass, with and without a slow memory."""

from __future__ import annotations

import cocotb
from cocotb.task import bridge

from fineq_sim.bench.shared_port import KINDS
from fineq_sim.bench.testbench import parameters
from fineq_sim.driver.accelerator import Accelerator
from fineq_sim.driver.cocotb import CocotbTransport
from fineq_sim.driver.conformance import CHECKS
from fineq_sim.reference.payloads import find_config

MEMORY = 1 << 16

UNFRIENDLY_CHECKS = ["sums", "outputs", "chain"]

UNFRIENDLY_KINDS = (
    ["late-answers"]
    if find_config(parameters()["config"]).addresses_ahead
    else [kind for kind in KINDS if kind != "two-ports"]
)
"""A machine whose write addresses run ahead of their data asks for a memory that serves both directions at once."""


@cocotb.test()
@cocotb.parametrize(check=[cocotb.Param(name, name) for name in CHECKS], stall=[0.0, 0.4])
async def test_driver(dut, check, stall):
    await run_check(dut, check, stall=stall)


@cocotb.test()
@cocotb.parametrize(check=UNFRIENDLY_CHECKS, kind=UNFRIENDLY_KINDS)
async def test_unfriendly_memory(dut, check, kind):
    """Memories that serve one burst at a time, or answer late: nothing hangs, and every result is right."""
    await run_check(dut, check, kind=kind)


async def run_check(dut, check: str, **memory) -> None:
    transport = CocotbTransport(dut, find_config(parameters()["config"]), memory_size=MEMORY, **memory)
    await transport.start()
    await bridge(lambda: CHECKS[check](Accelerator(transport)))()
