"""What every testbench needs: its parameters, a clock and a reset, a fixed random source."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, Timer

CLOCK_NS = 10

RESETS = {"rst": 0, "bus_rst": 1}
"""Resets, and what they are while the design is disturbed: a memory must not take what it does then for accesses."""


def parameters() -> dict[str, Any]:
    """What the runner was told to pass to the testbench."""
    return json.loads(os.environ.get("FINEQ_BENCH", "{}"))


def random_source(salt: str) -> random.Random:
    """A random source that depends on the seed of the run and on the salt alone."""
    return random.Random(f"{cocotb.RANDOM_SEED}/{salt}")


async def settle() -> None:
    """Let combinational outputs follow their inputs."""
    await Timer(1, unit="ns")


def start_clock(dut: Any) -> Any:
    """Start the clock; returns its task."""
    return Clock(dut.clk, CLOCK_NS, unit="ns").start()


async def reset(dut: Any, cycles: int = 2, *, bus: bool = False) -> None:
    """Hold the synchronous reset for some cycles; returns just after the edge that releases it.

    Args:
        dut: the design.
        cycles: how long.
        bus: what is on the design's memory port is reset too, as at power-up.
    """
    resets = [dut.rst, *([dut.bus_rst] if hasattr(dut, "bus_rst") else [])]
    for signal in resets:
        signal.value = int(bus or signal is dut.rst)
    await ClockCycles(dut.clk, cycles)
    for signal in resets:
        signal.value = 0
    await RisingEdge(dut.clk)
