"""The power engine against figures worked out by hand from the Liberty tables."""

import numpy as np
import pytest
from helpers.netlists.ppa_netlists import netlist_of

from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import flatten
from fineq_asic.power.liberty_power import PowerEngine, PowerOptions, total_power

CYCLE = 2.5e-9
SLEW = 0.0171859  # a grid point of the library's tables
OPTIONS = PowerOptions(clock_ns=2.5, input_slew_ns=SLEW, output_load_ff=0.0)


def evaluate(library, netlist, toggles, high, options=OPTIONS):
    """Total power with activity by port name; no wire capacitance."""
    flat = flatten(netlist, library)
    activity = Activity(np.zeros(flat.nets) + 1e-30, np.zeros(flat.nets), 1)
    for name, (_, nets) in flat.ports.items():
        activity.toggles[nets] = toggles.get(name, 0.0)
        activity.high[nets] = high.get(name, 0.0)

    class NoWire:
        @staticmethod
        def capacitance(fanout):
            return np.zeros_like(np.asarray(fanout, dtype=float))

    return total_power(PowerEngine(flat, library, NoWire(), options).evaluate(activity))


def table(cell, pin, edge, index=0):
    arc = cell.pins[pin].power[index]
    return float(getattr(arc, edge).lookup(SLEW, 0.0))


def test_inverter(library):
    inverter = library.cell("INV_X1")
    netlist = netlist_of(["a"], ["y"], [("INV_X1", {"A": "a", "ZN": "y"}), ("INV_X1", {"A": "y"})])
    power = evaluate(library, netlist, {"a": 0.5, "y": 0.5}, {"a": 0.25, "y": 0.75})
    load = 1.70023
    assert power.switching == pytest.approx(0.5 * load * 1.1**2 * 0.5 * 1e-15 / CYCLE)
    arc = inverter.pins["ZN"].power[0]
    energy = 0.5 * (arc.rise.lookup(SLEW, load) + arc.fall.lookup(SLEW, load))  # the second output is open
    assert power.internal == pytest.approx(0.5 * energy * 1e-15 / CYCLE)
    first = 0.25 * 18.604146 + 0.75 * 10.102224
    second = 0.75 * 18.604146 + 0.25 * 10.102224
    assert power.leakage == pytest.approx((first + second) * 1e-9)


def test_nand_shares_its_energy_over_the_inputs(library):
    cell = library.cell("NAND2_X1")
    netlist = netlist_of(["a", "b"], ["y"], [("NAND2_X1", {"A1": "a", "A2": "b", "ZN": "y"})])
    power = evaluate(library, netlist, {"a": 0.3, "b": 0.6, "y": 0.45}, {"a": 0.5, "b": 0.25, "y": 0.875})
    cause = {"A1": 0.3 * 0.25, "A2": 0.6 * 0.5}  # the other input must be high to let a change through
    energy = 0.0
    for index, arc in enumerate(cell.pins["ZN"].power):
        mean = 0.5 * (table(cell, "ZN", "rise", index) + table(cell, "ZN", "fall", index))
        energy += cause[arc.related_pin] / sum(cause.values()) * mean
    assert power.internal == pytest.approx(0.45 * energy * 1e-15 / CYCLE)
    states = {"!A1 & !A2": 0.375, "!A1 & A2": 0.125, "A1 & !A2": 0.375, "A1 & A2": 0.125}
    leakage = sum(states[when.text] * value for when, value in cell.conditional_leakage)
    assert power.leakage == pytest.approx(leakage * 1e-9)
    assert power.switching == 0


def test_idle_flop_pays_for_its_clock_only(library):
    cell = library.cell("DFF_X1")
    netlist = netlist_of(["clk", "d"], ["q"], [("DFF_X1", {"CK": "clk", "D": "d", "Q": "q"})])
    power = evaluate(library, netlist, {"clk": 2.0}, {"clk": 0.5})
    idle = next(i for i, arc in enumerate(cell.pins["CK"].power) if arc.when.text == "!D & !Q & QN")
    energy = table(cell, "CK", "rise", idle) + table(cell, "CK", "fall", idle)
    assert power.internal == pytest.approx(energy * 1e-15 / CYCLE)
    assert power.switching == pytest.approx(2 * 0.5 * 0.949653 * 1.1**2 * 1e-15 / CYCLE)
    assert power.leakage == pytest.approx(0.5 * (73.81231 + 78.328514) * 1e-9)


def test_toggling_flop(library):
    """D is always the opposite of Q: every clock edge flips the flop."""
    cell = library.cell("DFF_X1")
    cells = [("DFF_X1", {"CK": "clk", "D": "d", "Q": "q", "QN": "qn"})]
    netlist = netlist_of(["clk", "d"], ["q", "qn"], cells)
    power = evaluate(
        library,
        netlist,
        {"clk": 2.0, "d": 1.0, "q": 1.0, "qn": 1.0},
        {"clk": 0.5, "d": 0.5, "q": 0.5, "qn": 0.5},
    )
    differ = [i for i, arc in enumerate(cell.pins["CK"].power) if arc.when.text in ("!D & Q & !QN", "D & !Q & QN")]
    clock = sum(0.5 * (table(cell, "CK", "rise", i) + table(cell, "CK", "fall", i)) for i in differ)
    outputs = sum(0.5 * (table(cell, pin, "rise") + table(cell, pin, "fall")) for pin in ("Q", "QN"))
    data = sum(0.25 * 0.5 * (table(cell, "D", "rise", i) + table(cell, "D", "fall", i)) for i in range(4))
    assert power.internal == pytest.approx((clock + outputs + data) * 1e-15 / CYCLE)


def test_full_adder_with_one_active_input(library):
    """B = 1 and CI = 0: A goes through to both outputs, by one arc each."""
    cell = library.cell("FA_X1")
    pins = {"A": "a", "B": "b", "CI": "c", "S": "s", "CO": "co"}
    netlist = netlist_of(["a", "b", "c"], ["s", "co"], [("FA_X1", pins)])
    power = evaluate(library, netlist, {"a": 1.0, "s": 1.0, "co": 1.0}, {"a": 0.5, "b": 1.0, "s": 0.5, "co": 0.5})
    energy = 0.0
    for pin in ("S", "CO"):
        arcs = [i for i, arc in enumerate(cell.pins[pin].power) if arc.related_pin == "A"]
        arcs = [i for i in arcs if cell.pins[pin].power[i].when.evaluate({"A": 0, "B": 1, "CI": 0}, 1)]
        assert len(arcs) == 1
        energy += 0.5 * (table(cell, pin, "rise", arcs[0]) + table(cell, pin, "fall", arcs[0]))
    assert power.internal == pytest.approx(energy * 1e-15 / CYCLE)
    states = {when.text: value for when, value in cell.conditional_leakage}
    assert power.leakage == pytest.approx(0.5 * (states["!A & B & !CI"] + states["A & B & !CI"]) * 1e-9)


def test_gated_clock_runs_only_while_enabled(library):
    cells = [("CLKGATE_X1", {"CK": "clk", "E": "e", "GCK": "g"}), ("DFF_X1", {"CK": "g", "D": "d", "Q": "q"})]
    netlist = netlist_of(["clk", "e", "d"], ["g", "q"], cells)
    running = evaluate(library, netlist, {"clk": 2.0, "g": 2.0}, {"clk": 0.5, "e": 1.0, "g": 0.5})
    stopped = evaluate(library, netlist, {"clk": 2.0}, {"clk": 0.5})
    gate = library.cell("CLKGATE_X1")
    idle = next(i for i, arc in enumerate(gate.pins["CK"].power) if arc.when.text == "!E & !GCK")
    expected = table(gate, "CK", "rise", idle) + table(gate, "CK", "fall", idle)
    assert stopped.internal == pytest.approx(expected * 1e-15 / CYCLE)
    assert running.internal > 2 * stopped.internal


def test_closed_latch_pays_for_its_data_only(library):
    """The storage of the array in its steady state: the enable rests, the row of data above moves."""
    cell = library.cell("DLH_X1")
    netlist = netlist_of(["g", "d"], ["q"], [("DLH_X1", {"G": "g", "D": "d", "Q": "q"})])
    power = evaluate(library, netlist, {"d": 1.0}, {"d": 0.5, "q": 1.0})
    arcs = [i for i, arc in enumerate(cell.pins["D"].power) if arc.when.text == "!G & Q"]
    energy = sum(0.5 * (table(cell, "D", "rise", i) + table(cell, "D", "fall", i)) for i in arcs)
    assert power.internal == pytest.approx(energy * 1e-15 / CYCLE)
    assert power.leakage == pytest.approx(0.5 * (39.635772 + 34.24872) * 1e-9)
    assert power.switching == 0


def test_latch_that_opens_every_cycle(library):
    """D alternates and Q follows at every opening: G finds D different from Q and leaves it equal."""
    cell = library.cell("DLH_X1")
    netlist = netlist_of(["clk", "d"], ["q"], [("DLH_X1", {"G": "clk", "D": "d", "Q": "q"})])
    power = evaluate(library, netlist, {"clk": 2.0, "d": 1.0, "q": 1.0}, {"clk": 0.5, "d": 0.5, "q": 0.5})
    g, q, d = cell.pins["G"].power, cell.pins["Q"].power, cell.pins["D"].power
    closing = sum(0.5 * table(cell, "G", "fall", i) for i in range(len(g)))  # Q is 0 or 1, half of the time each
    weights = {"D": 1.0 * 0.5, "G": 2.0}  # data counts while the latch is open
    opening = 0.0
    for i, arc in enumerate(q):
        mean = 0.5 * (table(cell, "Q", "rise", i) + table(cell, "Q", "fall", i))
        opening += weights[arc.related_pin] / sum(weights.values()) * mean
    data = sum(0.5 * 0.5 * 0.5 * (table(cell, "D", "rise", i) + table(cell, "D", "fall", i)) for i in range(len(d)))
    assert power.internal == pytest.approx((closing + opening + data) * 1e-15 / CYCLE)
    states = {when.text: value for when, value in cell.conditional_leakage}
    closed = sum(0.5 * 0.25 * value for text, value in states.items() if "!G" in text)
    opened = 0.5 * 0.5 * (states["!D & G & !Q"] + states["D & G & Q"])
    assert power.leakage == pytest.approx((closed + opened) * 1e-9)


def test_power_scales_with_the_clock(library):
    netlist = netlist_of(["a"], ["y"], [("INV_X1", {"A": "a", "ZN": "y"})])
    slow = evaluate(library, netlist, {"a": 1.0, "y": 1.0}, {"a": 0.5, "y": 0.5})
    fast = evaluate(library, netlist, {"a": 1.0, "y": 1.0}, {"a": 0.5, "y": 0.5}, PowerOptions(1.25, "clk", SLEW, 0.0))
    assert fast.internal == pytest.approx(2 * slow.internal)
    assert fast.leakage == pytest.approx(slow.leakage)


def test_empty_activity():
    with pytest.raises(SynthesisError, match="activity is empty: no clock cycle was recorded"):
        Activity(np.zeros(3), np.zeros(3), 0)
    with pytest.raises(SynthesisError, match="activity is empty: no net toggles"):
        Activity(np.zeros(3), np.zeros(3), 10)


def test_activity_of_another_netlist(library):
    flat = flatten(netlist_of(["a"], ["y"], [("INV_X1", {"A": "a", "ZN": "y"})]), library)
    engine = PowerEngine(flat, library, library.wire_loads["5K_hvratio_1_1"])
    with pytest.raises(ValueError, match="activity of 7 nets for a netlist of 2"):
        engine.evaluate(Activity(np.ones(7), np.ones(7), 1))
