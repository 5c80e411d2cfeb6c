"""Runs a testbench on one component in Amaranth's simulator."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.lib import wiring
from amaranth.sim import Simulator


def simulate(component: wiring.Component, bench: Callable, clocked: bool = True) -> None:
    """Run `bench(ctx)` to its end, with a clock if the component has registers."""
    simulator = Simulator(component)
    if clocked:
        simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
