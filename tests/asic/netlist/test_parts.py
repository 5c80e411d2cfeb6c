"""Modules in their place: found by kind, followed to their instance, their nets in the whole."""

import pytest
from helpers.netlists.layout_samples import two_rows

from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import flatten, named_cells, named_instances
from fineq_asic.netlist.parts import find_module, module_path, nets_in_whole
from fineq_hw.export.manifest import Manifest, ModuleEntry


def test_modules_are_found_by_their_kind():
    manifest = Manifest({}, {"row": ModuleEntry("ArrayRow", "row_of_inverters"), "top": ModuleEntry("Top", "top")})
    assert find_module(two_rows(), manifest, "row_of_inverters") == "row"
    with pytest.raises(SynthesisError, match="top has no module of the kind row: it has row_of_inverters, top"):
        find_module(two_rows(), manifest, "row")


def test_paths_of_modules_and_cells():
    netlist = two_rows()
    assert module_path(netlist, "row") == ("row_0",)
    assert module_path(netlist, "top") == ()
    with pytest.raises(SynthesisError, match="top has no instance of decoder"):
        module_path(netlist, "decoder")
    first = [(("row_0",), "row"), (("row_0", "invert"), "INV_X1")]
    assert list(named_instances(netlist))[:2] == first


def test_numbers_of_nets_are_the_same_in_every_view(library):
    netlist = two_rows()
    flat = flatten(netlist, library)
    pins = {path: pins for path, _, pins in named_cells(netlist, library)}
    middle = pins["row_0", "invert"]["ZN"]
    assert pins["row_1", "invert"]["A"] == middle
    assert flat.groups["INV_X1"].nets["ZN"].tolist() == [pins[path]["ZN"] for path in pins]
    row = flatten(type(netlist)("row", netlist.modules), library).ports
    found = nets_in_whole("row", netlist, library)
    assert found == {int(row["x"][1][0]): int(flat.ports["a"][1][0]), int(row["y"][1][0]): middle}
