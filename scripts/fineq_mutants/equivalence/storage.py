"""Latches and clock gates as a proof that counts clock edges sees them.

Their Verilog is written by hand, so they are no circuits that are tried, and a proof would take what they give for
anything. Then a fault in what feeds a closed latch, such as a register before it that loads without need, would show.
Between two edges of the clock (`fineq_hw.cells.activation_storage`) the output of a clock gate is high if its enable
was high before the first of them, which is a register; and a latch takes its data while its enable is high and gives
what it gave otherwise, so if enables agree, and data while they are high, two latches give the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fineq_hw.cells.activation_storage import ClockGate, Latch
from fineq_hw.lib.hierarchy import verilog_name
from fineq_mutants.circuits import Circuit

_EMPTY: dict[str, Any] = {"attributes": {}, "ports": {}, "cells": {}, "netnames": {}}


def latches() -> dict[str, Circuit]:
    """What stands for a latch where it is cut out: its data count while it is open."""
    name = verilog_name(Latch.KIND)
    return {name: Circuit(name, Latch.KIND, Latch.VERILOG, _EMPTY, {"d": "enable"})}


def in_cycles(circuits: Mapping[str, Circuit]) -> dict[str, Circuit]:
    """Circuits, by name, with registers in place of clock gates."""
    return {name: _in_cycles(circuit) for name, circuit in circuits.items()}


def _in_cycles(circuit: Circuit) -> Circuit:
    gate = verilog_name(ClockGate.KIND)
    if gate not in circuit.instances:
        return circuit
    netlist = circuit.copy()
    for name, cell in netlist.cells.items():
        if cell["type"] == gate:
            clock, enable, gated = (cell["connections"][port] for port in ("clk", "enable", "gated_clk"))
            cell["type"] = "$dff"
            cell["parameters"] = {"WIDTH": f"{1:032b}", "CLK_POLARITY": f"{1:032b}"}
            cell["connections"] = {"CLK": clock, "D": enable, "Q": gated}
            cell["port_directions"] = {"CLK": "input", "D": "input", "Q": "output"}
            # Both sides begin alike.
            netlist.module["netnames"][f"$gated${name}"] = {"hide_name": 1, "bits": gated, "attributes": {"init": "0"}}
    return Circuit(circuit.module, circuit.block, circuit.verilog, netlist.module, circuit.streams)
