"""Gate-level runs of mapped cores on quantized data."""

import copy

import numpy as np
import pytest

from fineq_asic.activity.core_driver import CoreWork, field_bits, sign_magnitude, signed_fields
from fineq_asic.activity.lanes import LANES, pack_lanes, unpack_lanes
from fineq_asic.activity.netlist_run import RunOptions, run_core
from fineq_asic.activity.workload import gaussian_data, make_tiles, mean_vector_cycles
from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.designs import designs_of
from fineq_asic.netlist.flat import flatten
from fineq_asic.netlist.netlist import Instance
from fineq_hw.latencies import result_latency

DESIGNS = {design.top: design for design in designs_of("5x7") if not design.top.startswith("mac8x8")}


@pytest.fixture(scope="module")
def data():
    return gaussian_data()


@pytest.fixture(scope="module")
def mapped(map_small):
    return lambda top: map_small(top)[1]


def run(design, netlist, library, data, cycles=48, **options):
    flat = flatten(netlist, library)
    warm_up = 2 * result_latency(design.config) + 4
    work = CoreWork(design.config, make_tiles(data, design.config, warm_up + cycles), design.packed)
    return run_core(flat, work, RunOptions(warm_up, cycles, **options))


@pytest.mark.parametrize("top", sorted(DESIGNS))
def test_mapped_cores_are_bit_exact(top, mapped, library, data):
    result = run(DESIGNS[top], mapped(top), library, data)
    assert result.results_checked > LANES * DESIGNS[top].config.rows
    assert result.activity.toggles.max() == pytest.approx(2.0)  # the clock
    if top.startswith("mac"):
        assert result.cycles_per_vector == 1.0
    else:
        expected = mean_vector_cycles(data, 7, DESIGNS[top].config.encoding)
        assert result.cycles_per_vector == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("top", sorted(DESIGNS))
def test_results_do_not_depend_on_what_registers_held_before_reset(top, mapped, library, data):
    first, second = (run(DESIGNS[top], mapped(top), library, data, cycles=8, seed=seed) for seed in (1, 2))
    assert first.results_checked == second.results_checked
    unknown = run(DESIGNS[top], mapped(top), library, data, cycles=8, ternary=True)
    assert unknown.results_checked == first.results_checked and unknown.activity is None


def test_a_missing_reset_is_caught(mapped, library, data):
    """Without its reset gate a handshake flag never becomes known."""
    netlist = copy.deepcopy(mapped("mac8x3_5x7_broadcast"))
    top = netlist.modules[netlist.top]
    top.ports["rst"].bits = [top.new_net()]  # the old reset net is now driven by nothing known
    top.instances.append(Instance("tie", "LOGIC0_X1", {"Z": [netlist_reset(mapped("mac8x3_5x7_broadcast"))]}))
    with pytest.raises(SynthesisError, match="depends on what registers held before reset"):
        run(DESIGNS["mac8x3_5x7_broadcast"], netlist, library, data, cycles=8, ternary=True)


def netlist_reset(netlist):
    return netlist.modules[netlist.top].ports["rst"].bits[0]


def test_a_wrong_cell_is_caught(mapped, library, data):
    netlist = copy.deepcopy(mapped("fineq_5x7_packed"))
    row = next(module for name, module in netlist.modules.items() if name.startswith("fineq_row"))
    gate = next(instance for instance in row.instances if instance.kind.startswith("NAND2"))
    gate.kind = gate.kind.replace("NAND2", "NOR2")
    with pytest.raises(SynthesisError, match="the mapped netlist is wrong: weight vector .* got -?\\d+, expected"):
        run(DESIGNS["fineq_5x7_packed"], netlist, library, data)


def test_lane_packing_round_trip():
    bits = np.random.default_rng(0).integers(0, 2, (LANES, 13)).astype(np.uint8)
    assert (unpack_lanes(pack_lanes(bits)) == bits).all()
    with pytest.raises(ValueError, match="need 64 rows, got 3"):
        pack_lanes(bits[:3])


def test_fields():
    values = np.array([[-3, 0, 127, -128]])
    assert (signed_fields(field_bits(values, 8), 8) == values).all()
    assert sign_magnitude(np.array([3, -3, 0, 1])).tolist() == [3, 7, 0, 1]
