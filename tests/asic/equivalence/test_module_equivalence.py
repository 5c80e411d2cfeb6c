"""Equivalence of mapped modules with their RTL: proofs hold, planted faults do not get through."""

import copy

import pytest

from fineq_asic.equivalence.functional import functional_verilog
from fineq_asic.equivalence.modules import prove_module, read_status
from fineq_asic.equivalence.sides import pair_names
from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.netlist import Instance

TOP = "fineq_5x7_latch_packed"


@pytest.fixture(scope="module")
def design(map_small):
    """RTL files and netlist of a small core, with latches, clock gates and buffers."""
    return map_small(TOP)


def prove(design, library, prefix, work, change=lambda module: None):
    files, netlist = design
    netlist = copy.deepcopy(netlist)
    name = next(name for name in netlist.modules if name.startswith(prefix))
    change(netlist.modules[name])
    return prove_module(name, files, netlist, library, work, [n for n in netlist.modules if n != name])


@pytest.mark.parametrize("prefix", ["fineq_control_unit", "fineq_array", "fineq_activation_register", TOP])
def test_small_modules_are_proven(design, library, prefix, tmp_path):
    verdict = prove(design, library, prefix, tmp_path)
    assert verdict.proven and verdict.unproven == 0 and verdict.pairs > 20


def test_row_is_proven(design, library, tmp_path):
    verdict = prove(design, library, "fineq_row", tmp_path)
    assert verdict.proven and verdict.pairs > 200


def wrong_gate(module):
    gate = next(instance for instance in module.instances if instance.kind.startswith("NAND2"))
    gate.kind = gate.kind.replace("NAND2", "NOR2")


def swapped_enable(module):
    gate = next(instance for instance in module.instances if instance.kind.startswith("CLKGATE"))
    gate.pins["E"] = module.ports["rst"].bits


def swapped_registers(module):
    flops = [instance for instance in module.instances if instance.kind.startswith("DFF")]
    flops[0].pins["D"], flops[1].pins["D"] = flops[1].pins["D"], flops[0].pins["D"]


@pytest.mark.parametrize("fault", [wrong_gate, swapped_registers])
def test_faults_in_the_control_unit_are_caught(design, library, fault, tmp_path):
    verdict = prove(design, library, "fineq_control_unit", tmp_path, fault)
    assert not verdict.proven and verdict.unproven > 0 and verdict.first


def test_a_wrong_enable_is_caught(design, library, tmp_path):
    assert not prove(design, library, "fineq_activation_register", tmp_path, swapped_enable).proven


def test_a_wrong_latch_input_is_caught(design, library, tmp_path):
    def swap(module):
        latches = [instance for instance in module.instances if instance.kind == "DLH_X1"]
        latches[0].pins["D"], latches[1].pins["D"] = latches[1].pins["D"], latches[0].pins["D"]

    assert not prove(design, library, "fineq_row", tmp_path, swap).proven


def test_cells_that_the_comparison_does_not_know(design, library):
    _, netlist = design
    module = copy.deepcopy(netlist.modules[next(n for n in netlist.modules if n.startswith("fineq_control_unit"))])
    clock, rest, reset = module.ports["clk"].bits[0], module.new_net(), "has an asynchronous reset"
    data = module.ports["rst"].bits[0]
    for instance, message in (
        (Instance("a", "DFFR_X1", {"CK": [clock], "D": [data], "RN": [data], "Q": [rest]}), reset),
        (Instance("b", "DFF_X1", {"CK": [data], "D": [data], "Q": [rest]}), "a clock that is not the clock port's"),
        (Instance("c", "DLL_X1", {"GN": [clock], "D": [data], "Q": [rest]}), "is open while its enable is low"),
    ):
        changed = copy.deepcopy(module)
        changed.instances.append(instance)
        with pytest.raises(SynthesisError, match=message):
            functional_verilog(changed, netlist, library)


def test_nets_are_paired_one_to_one():
    def module(names):
        cells = {"u": {"connections": {"A": sorted({bit for bit in names.values()})}}}
        nets = {name: {"hide_name": 0, "bits": [bit]} for name, bit in names.items()}
        return {"ports": {}, "cells": cells, "netnames": nets}

    gold, gate = module({"a": 2, "b": 2, "c": 3, "d": 4}), module({"b": 7, "a": 8, "c": 8, "e": 9})
    assert pair_names(gold, gate) == 1  # a is net 2 and net 8, so c, which is net 8 as well, has no partner left
    found = [{name: net["bits"][0] for name, net in side["netnames"].items()} for side in (gold, gate)]
    assert found[0] == {"a": 2, "gold_only_3": 3, "gold_only_4": 4}
    assert found[1] == {"gate_only_7": 7, "a": 8, "gate_only_9": 9}


def test_a_log_without_comparison_is_an_error():
    with pytest.raises(SynthesisError, match="nothing was compared for row: see yosys.log"):
        read_status("row", "Found 0 $equiv cells in equiv:\n  Of those cells 0 are proven and 0 are unproven.\n")
