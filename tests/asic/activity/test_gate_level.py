"""Gate-level simulation of registers, latches and clock gates, with two and with three values."""

from itertools import product

import numpy as np
import pytest
from helpers.netlists.ppa_netlists import latch_rows, netlist_of

from fineq_asic.activity.gate_level import GateLevelSimulator
from fineq_asic.activity.lanes import ALL_LANES, LANES, pack_lanes, unpack_lanes
from fineq_asic.activity.ternary import Ternary
from fineq_asic.errors import SynthesisError
from fineq_asic.library.boolean import parse_function
from fineq_asic.netlist.flat import flatten

LATCH = [("DLH_X1", {"G": "clk", "D": "d", "Q": "q"})]


def word(value):
    return np.array([ALL_LANES if value else 0], dtype=np.uint64)


def test_clock_gate_and_counts(library):
    """A toggling flop behind a clock gate: activity follows the enable."""
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


@pytest.mark.parametrize("ternary", [False, True])
def test_latches_take_the_row_that_was_registered_at_the_edge(library, ternary):
    """Enabled in cycle t, a row of latches shows from cycle t + 1 what the register took at the end of t."""
    rows, bits, cycles = 3, 4, 40
    rng = np.random.default_rng(5)
    simulator = GateLevelSimulator(flatten(latch_rows(rows, bits), library), ternary=ternary)
    kept = np.zeros((LANES, rows, bits), dtype=np.uint8)
    loaded = np.zeros((LANES, rows), dtype=bool)
    for _ in range(cycles):
        data = rng.integers(0, 2, (LANES, bits)).astype(np.uint8)
        enables = rng.integers(0, 2, (LANES, rows)).astype(np.uint8)
        for bit in range(bits):
            simulator.set_port(f"d{bit}", pack_lanes(data[:, bit : bit + 1]))
        for row in range(rows):
            simulator.set_port(f"e{row}", pack_lanes(enables[:, row : row + 1]))
        simulator.settle()
        for row, bit in product(range(rows), range(bits)):
            read = unpack_lanes(simulator.get_port(f"q{row}_{bit}"))[:, 0]
            unknown = unpack_lanes(simulator.unknown_bits(f"q{row}_{bit}"))[:, 0]
            assert (read == kept[:, row, bit])[loaded[:, row]].all()
            assert (unknown == (~loaded[:, row] if ternary else 0)).all()
        simulator.clock_edge(record=not ternary)
        kept = np.where(enables[:, :, None], data[:, None, :], kept)
        loaded |= enables.astype(bool)
    if not ternary:
        activity = simulator.activity()
        gates = simulator.flat.groups["DLH_X1"].nets["G"]
        assert activity.toggles[gates] == pytest.approx(1.0, abs=0.1)  # a pulse in half of the cycles


def test_latch_that_is_open_while_the_clock_is_low(library):
    cells = [("DFF_X1", {"CK": "clk", "D": "d", "Q": "k"}), ("DLL_X1", {"GN": "clk", "D": "k", "Q": "q"})]
    simulator = GateLevelSimulator(flatten(netlist_of(["clk", "d"], ["q"], cells), library))
    for value in (1, 0, 1, 1, 0):
        simulator.set_port("d", word(value))
        simulator.clock_edge()
        simulator.settle()
        # the data port has changed after the edge that this cycle started with
        assert simulator.get_port("q")[0] == simulator.values[simulator.flat.groups["DFF_X1"].nets["Q"][0]]


def test_latch_enabled_by_data_is_refused(library):
    netlist = netlist_of(["clk", "e", "d"], ["q"], [("DLH_X1", {"G": "e", "D": "d", "Q": "q"})])
    with pytest.raises(SynthesisError, match="a DLH_X1 has an enable that does not come from the clock port"):
        GateLevelSimulator(flatten(netlist, library))


def test_latches_that_chase_each_other(library):
    cells = [("DLH_X1", {"G": "clk", "D": "n", "Q": "q"}), ("INV_X1", {"A": "q", "ZN": "n"})]
    simulator = GateLevelSimulator(flatten(netlist_of(["clk"], ["q"], cells), library))
    simulator.settle()
    simulator.clock_edge()
    with pytest.raises(SynthesisError, match="the latches do not settle: more than 8 follow one another"):
        simulator.settle()


def test_asynchronous_reset_is_refused(library):
    cells = [("DFFR_X1", {"CK": "clk", "D": "d", "RN": "r", "Q": "q"})]
    with pytest.raises(SynthesisError, match="DFFR_X1 has an asynchronous reset"):
        GateLevelSimulator(flatten(netlist_of(["clk", "d", "r"], ["q"], cells), library))


@pytest.mark.parametrize("text", ["A & B", "A | B", "A ^ B", "!A", "(A & B) | (!A & C)", "1", "0"])
def test_ternary_result_is_known_only_if_all_completions_agree(text):
    function = parse_function(text)
    for values in product("01x", repeat=3):
        words = {
            name: Ternary(word(value == "1"), word(value == "0")) for name, value in zip("ABC", values, strict=True)
        }
        result = function.evaluate(words, Ternary.known(ALL_LANES))
        completions = {
            function.evaluate(dict(zip("ABC", bits, strict=True)), 1)
            for bits in product(*({"0": (0,), "1": (1,), "x": (0, 1)}[value] for value in values))
        }
        known = {int(result.one.flat[0] != 0)} if np.ravel(result.one | result.zero)[0] else {0, 1}
        assert completions <= known
        if "C" not in text:  # nothing is read twice: not even pessimistic
            assert known == completions
