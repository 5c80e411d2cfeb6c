"""Random inputs before the first reset, so that it finds registers in any state, and not in that of power-up alone.

In a simulation that gives registers their initial values a reset that a register lacks would show nowhere: it would
write what stands there anyway.
"""

from __future__ import annotations

from typing import Any

from cocotb.triggers import RisingEdge

from fineq_sim.bench.settings import INPUT_PORTS
from fineq_sim.bench.testbench import RESETS, parameters, random_source, settle

_CYCLES = 50


async def disturb(dut: Any) -> None:
    """Drive all inputs at random for some cycles, then as before. What is on the memory port is held in reset.

    Not where registers begin unknown, which is more.
    """
    settings = parameters()
    names = [name for name in settings.get(INPUT_PORTS, ()) if name not in RESETS and name != "clk"]
    if not names or settings.get("outputs"):
        return
    ports = [getattr(dut, name) for name in names]
    await settle()  # what the models of the bench drive in the beginning
    before = [port.value if port.value.is_resolvable else 0 for port in ports]
    source = random_source("disturbance")
    for name, value in RESETS.items():
        if hasattr(dut, name):
            getattr(dut, name).value = value
    for _ in range(_CYCLES):
        for port in ports:
            port.value = source.getrandbits(len(port))
        await RisingEdge(dut.clk)
    for port, value in zip(ports, before, strict=True):
        port.value = value
