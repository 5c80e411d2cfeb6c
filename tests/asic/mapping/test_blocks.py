"""Blocks of the reports: what the components say decides, whatever their modules are called."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from fineq_asic.errors import SynthesisError
from fineq_asic.library.pdk import find_pdk
from fineq_asic.mapping.blocks import OTHER_ROWS, attribute_blocks
from fineq_asic.mapping.designs import designs_of, sizes
from fineq_asic.mapping.yosys import instance_path, map_design
from fineq_asic.netlist.fanout import insert_buffers
from fineq_asic.netlist.flat import flatten
from fineq_asic.netlist.netlist import Instance
from fineq_asic.timing import opensta
from fineq_asic.timing.opensta import WIRE_LOAD, thin
from fineq_hw.decode.line_decoder import LineDecoder
from fineq_hw.export.manifest import Manifest, read_manifest
from fineq_hw.export.verilog import write_verilog

TOP = "fineq_5x7_packed"
DESIGN = next(design for design in designs_of("5x7") if design.top == TOP)


@pytest.fixture(scope="module")
def mapped(map_small):
    """Netlist and manifest."""
    files, netlist = map_small(TOP)
    return netlist, read_manifest(files[0].parent)


def areas(netlist, library, manifest: Manifest) -> dict[str, float]:
    return flatten(netlist, library, attribute_blocks(netlist, library, manifest)).block_area()


def test_every_cell_has_a_block(map_small, library):
    for top in (TOP, "fineq_5x7_latch_packed", "mac8x3_5x7"):
        files, netlist = map_small(top)
        found = areas(netlist, library, read_manifest(files[0].parent))
        assert found["other"] == 0
        assert sum(found.values()) == pytest.approx(netlist.area(library))
        assert found["processing elements"] > 0 and found["accumulators"] > 0 and found["control"] > 0


def test_a_renamed_module_stays_in_its_block(mapped, library, tmp_path, monkeypatch):
    monkeypatch.setattr(LineDecoder, "KIND", "unpacking")
    files = write_verilog(tmp_path, [TOP])[TOP]
    assert any(file.name.startswith("fineq_unpacking_") for file in files)
    manifest = read_manifest(tmp_path)
    netlist = map_design(files, TOP, DESIGN.mapping(manifest, 2.5), find_pdk(), library, tmp_path)
    insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD])
    before, after = areas(mapped[0], library, mapped[1]), areas(netlist, library, manifest)
    assert after["decoders"] == pytest.approx(before["decoders"]) and after["decoders"] > 100
    assert after["slice multiplexer"] == pytest.approx(before["slice multiplexer"])


def test_a_component_that_says_nothing_is_an_error(mapped, library, tmp_path, monkeypatch):
    known = mapped[1].modules
    name = next(name for name, entry in known.items() if entry.kind == LineDecoder.KIND)
    manifest = Manifest(mapped[1].tops, known | {name: replace(known[name], declared=False)})
    sentence = r"^LineDecoder, the component of module fineq_line_decoder_\d+, does not say which block it is$"
    with pytest.raises(SynthesisError, match=sentence):
        DESIGN.mapping(manifest, 2.5)
    with pytest.raises(SynthesisError, match=sentence):
        attribute_blocks(mapped[0], library, manifest)
    monkeypatch.delattr(LineDecoder, "ROLE")
    with pytest.raises(ValueError, match="LineDecoder does not say what it is: a VerilogComponent declares its ROLE"):
        write_verilog(tmp_path, [TOP])
    assert not list(tmp_path.iterdir())


def array_of(netlist, manifest: Manifest):
    return next(netlist.modules[name] for name in netlist.modules if manifest.modules[name].kind == "array")


def test_what_belongs_nowhere_is_an_error(mapped, library):
    netlist, manifest = copy.deepcopy(mapped[0]), mapped[1]
    array = array_of(netlist, manifest)
    array.instances.append(Instance("ghost.cell_", "INV_X1", {"A": [1], "ZN": [array.new_net()]}))
    text = rf"cell ghost.cell_ of module {array.name} lies in no instance: ProcessingArray has no ghost"
    with pytest.raises(SynthesisError, match=text):
        attribute_blocks(netlist, library, manifest)
    modules = {name: entry for name, entry in manifest.modules.items() if name != array.name}
    with pytest.raises(SynthesisError, match=f"has a module {array.name} that the manifest of its Verilog does not"):
        attribute_blocks(netlist, library, Manifest(manifest.tops, modules))
    modules = manifest.modules | {array.name: replace(manifest.modules[array.name], block=None, buffers=None)}
    with pytest.raises(SynthesisError, match=f"of module {array.name} belongs to no block: ProcessingArray has none"):
        attribute_blocks(mapped[0], library, Manifest(manifest.tops, modules))


def test_the_record_and_not_the_name_tells_buffers(mapped, library):
    netlist, manifest = copy.deepcopy(mapped[0]), mapped[1]
    array = array_of(netlist, manifest)
    blocks = attribute_blocks(netlist, library, manifest)
    buffers = {i.name for i in array.instances if i.inserted and blocks[array.name, i.name] == "broadcast buffers"}
    assert buffers == {name for (module, name), block in blocks.items() if block == "broadcast buffers"} != set()
    for number, instance in enumerate(array.instances):
        if instance.name in buffers:
            instance.name = f"driver_{number}"
    renamed = attribute_blocks(netlist, library, manifest)
    assert sorted(renamed.values()) == sorted(blocks.values())


def test_what_stands_for_left_out_rows_is_no_block_of_the_design(mapped, library, monkeypatch):
    monkeypatch.setattr(opensta, "_MIN_THINNED_CELLS", 10)
    netlist = copy.deepcopy(mapped[0])
    loads = insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD])
    found = areas(thin(netlist, loads, library, keep_last=False), library, mapped[1])
    assert found[OTHER_ROWS] > 0 and found["processing elements"] > 0


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("$abc$12$blif$3$4", ()),
        ("$auto$ff.cc:337:slice$986", ()),
        ("fanout_12_0", ()),
        ("accumulator.tree.adder_3.cell_", ("accumulator", "tree", "adder_3")),
        ("$flatten\\element_3.$auto$ff.cc:337:slice$3033", ("element_3",)),
        ("$flatten\\element_3.$auto$alumacc.cc:1:x$2.bits[0].cell_", ("element_3",)),
        ("$flatten\\core.\\control.$abc$1$blif$2$3", ("core", "control")),
    ],
)
def test_instance_paths(name, path):
    assert instance_path(name) == path


def test_sizes_are_those_of_the_configurations():
    assert sizes() == ["64x64", "16x16", "5x7"]
    assert all(design.size == "16x16" for design in designs_of("16x16"))
