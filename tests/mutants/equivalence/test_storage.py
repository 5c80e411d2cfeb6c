"""A register before a latch: what it holds counts while the latch is open, and not at a port of its own."""

import pytest

from fineq_hw.cells.activation_storage import ClockGate, Latch
from fineq_hw.lib.hierarchy import verilog_name
from fineq_mutants.circuits import Circuit
from fineq_mutants.equivalence.miters import Miters
from fineq_mutants.equivalence.storage import in_cycles, latches
from fineq_mutants.operators import sites
from fineq_mutants.verdicts import Verdicts

CLOCK, LOAD, DATA, HELD, GATED, VALUE, OTHER = 2, 3, [4, 5], [6, 7], 8, [9, 10], 11


def _stored(shown, opened_by=LOAD):
    """Two bits in a register that loads with `load`, and in latches that are open a cycle after `opened_by`."""
    one = f"{1:032b}"
    inputs = {"clk": [CLOCK], "load": [LOAD], "data": DATA, "other": [OTHER]}
    outputs = {"value": VALUE} | ({"held": HELD} if shown else {})
    cells = {
        "register": ("$dffe", {"CLK": [CLOCK], "EN": [LOAD], "D": DATA}, {"Q": HELD}),
        "gate": (verilog_name(ClockGate.KIND), {"clk": [CLOCK], "enable": [opened_by]}, {"gated_clk": [GATED]}),
    }
    for at in range(2):
        cells[f"latch_{at}"] = (verilog_name(Latch.KIND), {"enable": [GATED], "d": [HELD[at]]}, {"q": [VALUE[at]]})
    parameters = {"WIDTH": f"{2:032b}", "CLK_POLARITY": one, "EN_POLARITY": one}
    netlist = {
        "attributes": {},
        "ports": {port: {"direction": "input", "bits": bits} for port, bits in inputs.items()}
        | {port: {"direction": "output", "bits": bits} for port, bits in outputs.items()},
        "cells": {
            name: {
                "type": kind,
                "parameters": parameters if kind.startswith("$") else {},
                "attributes": {},
                "port_directions": dict.fromkeys(into, "input") | dict.fromkeys(out, "output"),
                "connections": into | out,
            }
            for name, (kind, into, out) in cells.items()
        },
        "netnames": {"held": {"hide_name": 0, "bits": HELD, "attributes": {"init": "00"}}},
    }
    return Circuit("stored", "stored", "", netlist, {})


def _always_loading(circuit, provers, place):
    """Where a register that always loads does not show."""
    found = [
        site for site in sites(circuit.copy()) if (site.cell, site.kind) == ("register", "enable") and "1" in site.text
    ]
    assert found
    miters = Miters({"stored": circuit}, provers, place / "work", Verdicts(place / "kept"), 60)
    return miters.equivalent("stored", found[0])


@pytest.mark.parametrize("shown, opened_by", [(False, LOAD), (True, LOAD), (False, OTHER)])
def test_what_a_register_holds_counts_while_the_latch_behind_it_is_open(provers, tmp_path, shown, opened_by):
    where = "stored" if not shown and opened_by == LOAD else None
    assert _always_loading(_stored(shown, opened_by), provers, tmp_path) == where


def test_other_circuits_stay_as_they_are():
    circuit = _stored(False)
    plain = Circuit("plain", "plain", "", {"attributes": {}, "ports": {}, "cells": {}, "netnames": {}}, {})
    changed = in_cycles({"stored": circuit, "plain": plain})
    assert changed["plain"] is plain
    assert changed["stored"].instances == {verilog_name(Latch.KIND)} == {*latches()}
    assert verilog_name(ClockGate.KIND) in circuit.instances, "the circuit itself is not changed"
