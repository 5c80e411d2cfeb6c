"""Cells are what their pins and functions say, whatever they are called."""

import dataclasses

import pytest

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.library.recognition import (
    carries_clock,
    enable_pin,
    inverted_input,
    is_adder,
    is_tie,
    repeated_input,
    sizes_of,
)


def renamed(library, kind):
    """A cell under a name that says nothing."""
    return dataclasses.replace(library.cell(kind), name="X")


def test_kinds_of_cells(library):
    assert repeated_input(renamed(library, "BUF_X2")) == repeated_input(renamed(library, "CLKBUF_X1")) == "A"
    assert inverted_input(renamed(library, "INV_X4")) == "A"
    for kind in ("TBUF_X1", "DFF_X1", "CLKGATE_X1", "AND2_X1", "LOGIC0_X1", "HA_X1", "FILLCELL_X1"):
        assert repeated_input(library.cell(kind)) is None is inverted_input(library.cell(kind)), kind
    assert {name for name, cell in library.cells.items() if is_adder(cell)} == {"FA_X1", "HA_X1"}
    assert {name for name, cell in library.cells.items() if is_tie(cell)} == {"LOGIC0_X1", "LOGIC1_X1"}


def test_what_a_clock_passes(library):
    passed = {"BUF_X1": "A", "CLKBUF_X3": "A", "INV_X8": "A", "CLKGATE_X2": "CK"}
    assert all(carries_clock(library.cell(kind), pin) for kind, pin in passed.items())
    stopped = {"CLKGATE_X2": "E", "DFF_X1": "CK", "DLH_X1": "G", "AND2_X1": "A1"}
    assert not any(carries_clock(library.cell(kind), pin) for kind, pin in stopped.items())


def test_sizes_have_the_same_pins_and_functions(library):
    names = [cell.name for cell in sizes_of(library.cell("CLKGATE_X2"), library)]
    assert names == [f"CLKGATE_X{size}" for size in (1, 2, 4, 8)]
    assert "DLL_X1" not in [cell.name for cell in sizes_of(library.cell("DLH_X1"), library)]
    strange = {f"cell {i}": dataclasses.replace(library.cell(n), name=f"cell {i}") for i, n in enumerate(names)}
    others = Library("", 1.1, {**strange, "CLKGATETST_X1": library.cell("CLKGATETST_X1")}, {})
    assert [cell.name for cell in sizes_of(strange["cell 3"], others)] == list(strange)


def test_a_gate_with_two_enables_is_refused(library):
    assert enable_pin(library.cell("CLKGATE_X1")) == "E"
    with pytest.raises(SynthesisError, match="CLKGATETST_X1 has 2 enable pins: a clock gate of the flow has one"):
        enable_pin(library.cell("CLKGATETST_X1"))
