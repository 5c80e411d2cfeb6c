"""Netlists without hierarchy, and what is refused."""

import pytest
from helpers.netlists.ppa_netlists import netlist_of

from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import flatten, logic_levels


def test_unmapped_cells_are_named(library):
    netlist = netlist_of(["a"], ["y"], [("$_DLATCH_P_", {"D": "a", "Q": "y"}), ("$_DLATCH_P_", {"D": "a"})])
    with pytest.raises(SynthesisError, match=r"cells that are not in the library: \$_DLATCH_P_ \(2\), as in top"):
        netlist.check_mapped(library)


def test_combinational_loop(library):
    netlist = netlist_of(["a"], ["y"], [("NAND2_X1", {"A1": "a", "A2": "y", "ZN": "y"})])
    with pytest.raises(SynthesisError, match="combinational loop"):
        logic_levels(flatten(netlist, library))
