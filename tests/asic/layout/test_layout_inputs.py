"""What a layout starts from: LEF and wires, the flat netlist, its Verilog, its activity."""

import dataclasses

import numpy as np
import pytest
from helpers.netlists.layout_samples import two_rows

from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.layout.block import Block, make_block, write_flat_verilog
from fineq_asic.layout.lef import read_technology_lef
from fineq_asic.layout.saif import nets_in_core, write_block_saif
from fineq_asic.layout.technology import Technology
from fineq_asic.library.pdk import Pdk
from fineq_asic.netlist.flat import flatten
from fineq_asic.netlist.netlist import Instance, Module, Netlist, Port


def test_lef_has_layers_and_sites(technology):
    lef = technology.lef
    assert [layer.name for layer in lef.routing_layers] == [f"metal{n}" for n in range(1, 11)]
    metal4 = lef.layers["metal4"]
    assert (metal4.direction, metal4.width, metal4.pitch, metal4.spacing) == ("VERTICAL", 0.14, 0.28, 0.14)
    assert lef.layers["via4"].kind == "CUT" and lef.layers["via4"].resistance == 3.0
    assert lef.sites == {technology.site: (0.19, 1.4)}


def test_cell_areas_of_lef_and_liberty_agree(technology, library):
    sizes = technology.cell_sizes
    assert sizes["FA_X1"] == (3.04, 1.4)
    assert library.cells.keys() <= sizes.keys()
    for name, cell in library.cells.items():
        width, height = sizes[name]
        assert width * height == pytest.approx(cell.area), name


def test_truncated_lef_is_refused(technology, tmp_path):
    text = technology.technology_lef.read_text(encoding="utf-8")
    short = tmp_path / "short.lef"
    short.write_text(text[: text.index("END metal3")], encoding="utf-8")
    with pytest.raises(SynthesisError, match="short.lef ends inside metal3: the file is cut off"):
        read_technology_lef(short)


def test_truncated_cell_lef_is_refused(technology, tmp_path):
    for path in (technology.technology_lef, technology.cell_gds):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = technology.cell_lef.read_text(encoding="utf-8")
    (tmp_path / "stdcells.lef").write_text(text[: text.index("END AND2_X1")], encoding="utf-8")
    with pytest.raises(SynthesisError, match="stdcells.lef does not end with END LIBRARY: the file is cut off"):
        assert Technology(Pdk(tmp_path, "local directory")).cell_sizes


def test_wire_models_by_hand(technology):
    models = technology.wire_models()
    # metal3: 0.07 um wide, 0.14 thick, 0.07 apart; 2.7745e-5 pF/um2, 2.5157e-5 pF/um an edge, 0.25 ohm a square
    own = 1e3 * (0.07 * 2.7745e-5 + 2 * 2.5157e-5)
    assert models["metal3"].capacitance == pytest.approx(own + 2.5 * 8.854e-3 * 0.14 / 0.07)
    assert models["metal3"].resistance == pytest.approx(0.25 / 0.07)


def test_misprinted_edge_capacitance_is_replaced(technology):
    models = technology.wire_models()
    # the LEF has 2.3863e-06 for metal5 and 2.3863e-05 for metal6
    assert models["metal5"].capacitance == pytest.approx(models["metal6"].capacitance, rel=0.02)


def test_missing_lef_is_named(technology, tmp_path):
    (tmp_path / "rtk-tech.lef").write_text("", encoding="utf-8")
    with pytest.raises(SynthesisError, match="no stdcells.lef in local directory: layouts need the LEF and GDS"):
        Technology(Pdk(tmp_path, "local directory")).check()


def test_block_of_the_whole_netlist_is_flat(library):
    block = make_block(two_rows(), library)
    assert [cell.name for cell in block.cells] == ["row_0__invert", "row_1__invert"]
    first, second = block.cells
    assert first.pins["ZN"] == second.pins["A"]
    assert block.ports == {"a": ("input", (first.pins["A"],)), "z": ("output", (second.pins["ZN"],))}
    assert block.clock is None
    assert block.area(library) == pytest.approx(2 * 0.532)


def test_block_of_one_module(library):
    netlist = two_rows()
    block = make_block(netlist, library, "row")
    assert block.top == "row" and [cell.name for cell in block.cells] == ["invert"]


def test_unknown_module_is_named(library):
    with pytest.raises(SynthesisError, match="top has no module decoder: its modules are top, row"):
        make_block(two_rows(), library, "decoder")


def test_equal_flat_names_are_refused(library):
    cells = [Instance(name, "INV_X1", {"A": [1]}) for name in ("row__inverter",)]
    row = Module("row", {"x": Port("input", [1])}, [Instance("inverter", "INV_X1", {"A": [1]})])
    top = Module("top", {"a": Port("input", [1])}, [*cells, Instance("row", "row", {"x": [1]})])
    with pytest.raises(SynthesisError, match="two instances of top have the flat name row__inverter"):
        make_block(Netlist("top", {"top": top, "row": row}), library)


def test_flat_verilog(block, tmp_path):
    write_flat_verilog(block, tmp_path / "flat.v")
    assert (tmp_path / "flat.v").read_text(encoding="utf-8") == (
        "module top (clk, a, b, q);\n"
        "  input clk;\n  input a;\n  input b;\n  output q;\n"
        "  wire n4;\n"
        "  AND2_X1 and2_x1_0 (.A1(a), .A2(b), .ZN(n4));\n"
        "  DFF_X1 dff_x1_1 (.CK(clk), .D(n4), .Q(q));\n"
        "endmodule\n"
    )


def test_saif_of_a_module_has_the_activity_of_its_first_copy(library, tmp_path):
    core = two_rows()
    flat = flatten(core, library)
    (a, middle, z) = (flat.ports["a"][1][0], 2, flat.ports["z"][1][0])
    assert {int(a), middle, int(z)} == {0, 1, 2}
    toggles, high = np.zeros(3), np.zeros(3)
    toggles[[a, middle, z]], high[[a, middle, z]] = (0.5, 1.0, 2.0), (0.25, 0.5, 1.0)
    row = make_block(core, library, "row")
    nets = nets_in_core(row, core, library)
    write_block_saif(row, nets, Activity(toggles, high, 100), 2.5, tmp_path / "row.saif")
    x, y = "(T0 187500) (T1 62500) (TX 0) (TC 50) (IG 0))", "(T0 125000) (T1 125000) (TX 0) (TC 100) (IG 0))"
    assert (tmp_path / "row.saif").read_text(encoding="utf-8").partition("(DURATION")[2] == (
        f" 250000)\n(INSTANCE row\n(NET\n(x {x}\n(y {y}\n)\n(INSTANCE invert\n(NET\n(A {x}\n(ZN {y}\n))\n))\n"
    )


def test_saif_of_another_core_is_refused(library, block):
    with pytest.raises(SynthesisError, match="top is not a module of top: its cells differ"):
        nets_in_core(block, two_rows(), library)


def test_block_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Block("top", {}, (), None).top = "other"
