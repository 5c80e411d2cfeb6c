"""Rows of 8-bit multipliers: proven in two steps, and a fault in either is caught."""

import copy

import pytest

from fineq_asic.equivalence import multipliers as multiplier_equivalence
from fineq_asic.equivalence.multipliers import evaluate, prove_with_multipliers, read_cec, wrong_products
from fineq_asic.errors import SynthesisError

TOP = "mac8x8_5x7_broadcast_latch"


@pytest.fixture(scope="module")
def design(map_small):
    """RTL files and netlist of a small MAC array with 8-bit weights and latches."""
    return map_small(TOP)


def prove(design, library, work, change=lambda module: None):
    files, netlist = design
    netlist = copy.deepcopy(netlist)
    name = next(name for name in netlist.modules if name.startswith("fineq_mac_row"))
    change(netlist.modules[name])
    kept = [other for other in netlist.modules if other != name]
    return prove_with_multipliers(name, files, netlist, library, work, kept, 60)


def test_a_row_of_multipliers_is_proven(design, library, tmp_path):
    verdict = prove(design, library, tmp_path)
    assert verdict.proven and verdict.unproven == 0 and verdict.pairs > 100


def wrong_gate(module):
    adders = [instance for instance in module.instances if instance.kind == "FA_X1"]
    adder = adders[len(adders) // 2]
    adder.pins["CO"], adder.pins["S"] = adder.pins["S"], adder.pins["CO"]


def swapped_latches(module):
    latches = [instance for instance in module.instances if instance.kind == "DLH_X1"]
    latches[0].pins["D"], latches[1].pins["D"] = latches[1].pins["D"], latches[0].pins["D"]


def wrong_enable(module):
    gate = next(instance for instance in module.instances if instance.kind.startswith("CLKGATE"))
    gate.pins["E"] = ["1"]


@pytest.mark.parametrize("fault", [wrong_gate, swapped_latches, wrong_enable])
def test_faults_are_caught(design, library, fault, tmp_path):
    verdict = prove(design, library, tmp_path, fault)
    assert not verdict.proven and verdict.unproven > 0 and verdict.first


def test_a_recoding_that_is_wrong_is_caught(design, library, tmp_path, monkeypatch):
    assert wrong_products((8, 8, 16, True), tmp_path) == 0 == wrong_products((3, 5, 8, False), tmp_path)
    wrong = ["booth", "chtype -set $_OR_ t:$_XOR_"]
    assert wrong_products((8, 8, 16, True), tmp_path, wrong) > 1000
    monkeypatch.setattr(multiplier_equivalence, "wrong_products", lambda shape, work: 7)
    verdict = prove(design, library, tmp_path)
    assert (verdict.proven, verdict.unproven, verdict.first) == (False, 7, "recoded multiplier of 8 by 8 bits")


def test_what_cannot_be_evaluated(tmp_path):
    with pytest.raises(SynthesisError, match="a multiplier of 16 by 16 bits has too many operands to evaluate all"):
        wrong_products((16, 16, 32, True), tmp_path)
    gate = {"type": "$_XOR_", "connections": {"A": ["0"], "B": ["1"], "Y": [2]}}
    with pytest.raises(SynthesisError, match=r"\$_XOR_ is not a gate that can be evaluated here"):
        evaluate({"ports": {}, "cells": {"g": gate}}, {})
    gate = {"type": "$_NOT_", "connections": {"A": [2], "Y": [2]}}
    with pytest.raises(SynthesisError, match="a multiplier has a loop of gates"):
        evaluate({"ports": {}, "cells": {"g": gate}}, {})


def test_logs_of_cec():
    assert read_cec("row", 5, "Networks are equivalent.  Time = 1 sec\n").proven
    with pytest.raises(TimeoutError, match="cec has not decided within the limit"):
        read_cec("row", 5, "Networks are UNDECIDED.  Time = 9 sec\n")
    with pytest.raises(SynthesisError, match="nothing was compared for row: see cec.log"):
        read_cec("row", 5, "Reading network from file has failed.\n")
