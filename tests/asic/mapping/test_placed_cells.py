"""Components that stand for a library cell: what the component says decides, not a list of names."""

from itertools import product

import pytest
from helpers.hardware.amaranth_bench import simulate

from fineq_asic.errors import SynthesisError
from fineq_asic.library.pdk import find_pdk
from fineq_asic.mapping import placed_cells
from fineq_asic.mapping.designs import designs_of
from fineq_asic.mapping.placed_cells import CELL_INSTANCE, GATED_CLOCK, LATCH, PLACED_CELLS, cell_map
from fineq_asic.mapping.yosys import map_design
from fineq_hw.cells.select_cells import Select
from fineq_hw.export.manifest import read_manifest
from fineq_hw.export.verilog import write_verilog

TOP = "fineq_5x7_cluster_packed"
DESIGN = next(design for design in designs_of("5x7") if design.top == TOP)


def placed(netlist) -> int:
    """How many AOI222 the RTL has placed, as against those that the optimiser has found."""
    cells = (each for module in netlist.modules.values() for each in module.instances if each.kind == "AOI222_X1")
    return sum(each.name.endswith(f".{CELL_INSTANCE}") for each in cells)


def test_a_renamed_component_still_becomes_its_cell(map_small, library, tmp_path, monkeypatch):
    monkeypatch.setattr(Select, "KIND", "choice")
    files = write_verilog(tmp_path, [TOP])[TOP]
    assert any(file.name.startswith("fineq_choice_") for file in files)
    options = DESIGN.mapping(read_manifest(tmp_path), 2.5)
    renamed = map_design(files, TOP, options, find_pdk(), library, tmp_path / "work")
    assert placed(renamed) == placed(map_small(TOP)[1]) > 10


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_a_component_without_a_cell_is_an_error(tmp_path, monkeypatch):
    left = tuple(placed for placed in PLACED_CELLS if not isinstance(placed.make(), Select))
    monkeypatch.setattr(placed_cells, "PLACED_CELLS", left)
    write_verilog(tmp_path, [TOP])
    with pytest.raises(SynthesisError, match=r"^Select stands for one library cell, but none is known for its module"):
        DESIGN.mapping(read_manifest(tmp_path), 2.5)


def test_a_library_with_other_pins_is_an_error(library, monkeypatch):
    wrong = placed_cells.PlacedCell(lambda: Select(1), "NAND2_X1", {"d0": "A", "s0": "B", "q_n": "ZN"})
    monkeypatch.setattr(placed_cells, "PLACED_CELLS", (wrong,))
    with pytest.raises(SynthesisError, match="NAND2_X1 of the library .* has no pin A"):
        cell_map(library)


COMBINATIONAL = [placed for placed in PLACED_CELLS if placed not in (LATCH, GATED_CLOCK)]


@pytest.mark.parametrize("placed", COMBINATIONAL, ids=[placed.module for placed in COMBINATIONAL])
def test_component_and_cell_have_the_same_function(placed, library):
    outputs = {pin.name: pin.function for pin in library.cell(placed.cell).outputs}
    ports = {port: pin for port, pin in placed.pins.items() if pin in outputs}
    inputs = {port: pin for port, pin in placed.pins.items() if pin not in outputs}
    component = placed.make()

    async def bench(ctx):
        for bits in product((0, 1), repeat=len(inputs)):
            for port, bit in zip(inputs, bits, strict=True):
                ctx.set(getattr(component, port), bit)
            values = dict(zip(inputs.values(), bits, strict=True))
            for port, pin in ports.items():
                assert ctx.get(getattr(component, port)) == outputs[pin].evaluate(values, 1)

    simulate(component, bench, clocked=False)
