"""Gate-level runs of mapped cores on quantized data."""

import copy

import numpy as np
import pytest

from fineq_hw.ppa.buffers import insert_buffers
from fineq_hw.ppa.designs import attribute_blocks, designs_of
from fineq_hw.ppa.errors import SynthesisError
from fineq_hw.ppa.liberty import read_liberty
from fineq_hw.ppa.mapping import map_design
from fineq_hw.ppa.netlist import flatten
from fineq_hw.ppa.pdk import find_pdk
from fineq_hw.ppa.timing import WIRE_LOAD
from fineq_hw.timing import result_latency
from fineq_hw.verilog import write_verilog
from fineq_sim.gate_level import LANES, GateLevelSimulator, pack_lanes, unpack_lanes
from fineq_sim.netlist_activity import field_bits, run_core, sign_magnitude, signed_fields
from fineq_sim.tiles import gaussian_data, make_tiles, mean_vector_cycles

DESIGNS = {design.top: design for design in designs_of("5x7")}


@pytest.fixture(scope="module")
def library():
    return read_liberty(find_pdk().liberty)


@pytest.fixture(scope="module")
def data():
    return gaussian_data()


@pytest.fixture(scope="module")
def mapped(library, tmp_path_factory):
    def get(top):
        if top not in cache:
            work = tmp_path_factory.mktemp(top)
            files = write_verilog(work, [top])[top]
            netlist = map_design(files, top, DESIGNS[top].mapping(2.5), find_pdk(), library, work)
            insert_buffers(netlist, library, library.wire_loads[WIRE_LOAD])
            cache[top] = netlist
        return cache[top]

    cache = {}
    return get


def run(design, netlist, library, data, cycles=48):
    flat = flatten(netlist, library, attribute_blocks(netlist, library))
    warm_up = 2 * result_latency(design.config) + 4
    tiles = make_tiles(data, design.config, warm_up + cycles)
    return run_core(flat, design.config, tiles, packed=design.packed, warm_up=warm_up, cycles=cycles)


@pytest.mark.parametrize("top", sorted(DESIGNS))
def test_mapped_cores_are_bit_exact(top, mapped, library, data):
    result = run(DESIGNS[top], mapped(top), library, data)
    assert result.results_checked > LANES * DESIGNS[top].config.rows
    assert result.activity.toggles.max() == pytest.approx(2.0)  # the clock
    if top.startswith("mac"):
        assert result.cycles_per_vector == 1.0
    else:
        assert result.cycles_per_vector == pytest.approx(mean_vector_cycles(data, 7), rel=0.1)


def test_a_wrong_cell_is_caught(mapped, library, data):
    netlist = copy.deepcopy(mapped("fineq_5x7_packed"))
    row = next(module for name, module in netlist.modules.items() if name.startswith("fineq_row"))
    gate = next(instance for instance in row.instances if instance.kind.startswith("NAND2"))
    gate.kind = gate.kind.replace("NAND2", "NOR2")
    with pytest.raises(SynthesisError, match="the mapped netlist is wrong: weight vector .* got -?\\d+, expected"):
        run(DESIGNS["fineq_5x7_packed"], netlist, library, data)


def test_every_cell_has_a_block(mapped, library):
    for top in ("fineq_5x7_packed", "mac8x3_5x7"):
        netlist = mapped(top)
        flat = flatten(netlist, library, attribute_blocks(netlist, library))
        areas = flat.block_area()
        assert areas["other"] == 0
        assert sum(areas.values()) == pytest.approx(netlist.area(library))
        assert areas["processing elements"] > 0 and areas["accumulators"] > 0 and areas["control"] > 0


def test_latches_are_refused(library):
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "hw"))
    from ppa_netlists import netlist_of

    netlist = netlist_of(["clk", "d"], ["q"], [("DLH_X1", {"G": "clk", "D": "d", "Q": "q"})])
    with pytest.raises(SynthesisError, match="DLH_X1 is a latch: the gate-level simulation knows flip-flops only"):
        GateLevelSimulator(flatten(netlist, library))


def test_clock_gate_and_counts(library):
    """A toggling flop behind a clock gate: activity follows the enable."""
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "hw"))
    from ppa_netlists import netlist_of

    cells = [
        ("CLKGATE_X1", {"CK": "clk", "E": "e", "GCK": "g"}),
        ("DFF_X1", {"CK": "g", "D": "d", "Q": "q"}),
        ("INV_X1", {"A": "q", "ZN": "d"}),
    ]
    flat = flatten(netlist_of(["clk", "e"], ["g", "q"], cells), library)
    simulator = GateLevelSimulator(flat)
    enabled = pack_lanes((np.arange(LANES)[:, None] < 16).astype(np.uint8))
    simulator.set_port("e", enabled)
    for _ in range(11):
        simulator.settle()
        simulator.clock_edge(record=True)
    activity = simulator.activity()
    assert activity.cycles == 10 * LANES
    nets = {name: int(numbers[0]) for name, (_, numbers) in flat.ports.items()}
    assert activity.toggles[nets["clk"]] == 2.0
    assert activity.toggles[nets["g"]] == pytest.approx(0.5)
    assert activity.toggles[nets["q"]] == pytest.approx(0.25)


def test_lane_packing_round_trip():
    bits = np.random.default_rng(0).integers(0, 2, (LANES, 13)).astype(np.uint8)
    assert (unpack_lanes(pack_lanes(bits)) == bits).all()
    with pytest.raises(ValueError, match="need 64 rows, got 3"):
        pack_lanes(bits[:3])


def test_fields():
    values = np.array([[-3, 0, 127, -128]])
    assert (signed_fields(field_bits(values, 8), 8) == values).all()
    assert sign_magnitude(np.array([3, -3, 0, 1])).tolist() == [3, 7, 0, 1]
