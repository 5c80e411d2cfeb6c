"""Buffer trees keep loads in bounds."""

from helpers.netlists.ppa_netlists import netlist_of

from fineq_asic.netlist.fanout import BufferOptions, insert_buffers
from fineq_asic.netlist.flat import flatten
from fineq_asic.timing.loads import net_loads
from fineq_asic.timing.opensta import (
    WIRE_LOAD,
)


def test_buffers_keep_every_load_in_bounds(library):
    cells = [("INV_X1", {"A": "a", "ZN": "x"})] + [("INV_X1", {"A": "x", "ZN": f"y{i}"}) for i in range(300)]
    netlist = netlist_of(["a"], [], cells)
    options = BufferOptions(utilisation=0.4)
    wire = library.wire_loads[WIRE_LOAD]
    before = netlist.area(library)
    insert_buffers(netlist, library, wire, options)
    assert netlist.area(library) > before
    flat = flatten(netlist, library)
    loads = net_loads(flat, wire, 0.0)
    for group in flat.groups.values():
        for pin in group.cell.outputs:
            assert (loads[group.nets[pin.name]] <= options.utilisation * pin.max_capacitance + 1e-6).all()
    assert netlist.cell_counts()["INV_X1"] == 301
