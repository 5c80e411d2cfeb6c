"""Settings and fixtures for all tests."""

import os

import pytest

# The tensors of the tests are small: more threads only wait for each other, and badly so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def library():
    """The cell library as every flow reads it."""
    from fineq_asic.library.liberty import read_liberty
    from fineq_asic.library.pdk import find_pdk

    return read_liberty(find_pdk().liberty)


@pytest.fixture(scope="session")
def map_small(library, tmp_path_factory):
    """RTL files and mapped netlist, with buffers, of a 5x7 design by its top; netlists are shared: copy to change.

    The manifest of the RTL lies beside the files.
    """
    from fineq_asic.library.pdk import find_pdk
    from fineq_asic.mapping.designs import designs_of
    from fineq_asic.mapping.yosys import map_design
    from fineq_asic.netlist.fanout import insert_buffers
    from fineq_asic.timing.opensta import WIRE_LOAD
    from fineq_hw.export.manifest import read_manifest
    from fineq_hw.export.verilog import write_verilog

    found = {}

    def get(top):
        if top not in found:
            work = tmp_path_factory.mktemp(top)
            files = write_verilog(work, [top])[top]
            design = next(design for design in designs_of("5x7") if design.top == top)
            options = design.mapping(read_manifest(work), 2.5)
            netlist = map_design(files, top, options, find_pdk(), library, work)
            insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD])
            found[top] = files, netlist
        return found[top]

    return get


@pytest.fixture(scope="session")
def provers():
    """The programs that prove, or a skip that says which is missing."""
    from fineq_formal.tools import ToolError, find_provers

    try:
        return find_provers()
    except ToolError as error:
        pytest.skip(str(error))
