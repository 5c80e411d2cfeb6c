"""Amaranth's simulator in one call."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator


def simulate(component: Elaboratable, bench: Callable) -> None:
    """Run an asynchronous testbench on a component with one clock."""
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
