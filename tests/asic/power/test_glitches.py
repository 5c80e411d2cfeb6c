"""Delay-annotated runs: glitches by hand, and the settled values of the zero-delay run."""

import numpy as np
import pytest
from helpers.netlists.ppa_netlists import netlist_of

from fineq_asic.activity.gate_level import GateLevelSimulator
from fineq_asic.activity.lanes import ALL_LANES
from fineq_asic.activity.netlist_run import Trace
from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import flatten
from fineq_asic.power import event_simulator
from fineq_asic.power.glitches import run_with_delays
from fineq_asic.power.liberty_power import PowerEngine
from fineq_asic.timing.opensta import WIRE_LOAD, Constraints


def play(library, netlist, inputs, change=lambda trace: None, lanes=(0,)):
    """Both runs over a list of input values by name; returns the glitch run and net numbers by port."""
    flat = flatten(netlist, library)
    simulator = GateLevelSimulator(flat, clock="none")
    values = []
    for step in inputs:
        for name, value in step.items():
            simulator.set_port(name, np.array([ALL_LANES if value else 0], dtype=np.uint64))
        simulator.settle()
        values.append(simulator.values[:-1].copy())
    trace = Trace(np.stack(values), *simulator.clock_nets)
    change(trace)
    engine = PowerEngine(flat, library, library.wire_loads[WIRE_LOAD])
    run = run_with_delays(flat, engine, trace, Constraints(), list(lanes))
    return run, {name: int(nets[0]) for name, (_, nets) in flat.ports.items()}


def hazard(buffers):
    """y = a xor (a behind buffers): pulses at every change of a."""
    cells = [("BUF_X1", {"A": "a" if i == 0 else f"d{i - 1}", "Z": f"d{i}"}) for i in range(buffers)]
    return netlist_of(["a"], ["y"], [*cells, ("XOR2_X1", {"A": "a", "B": f"d{buffers - 1}", "Z": "y"})])


def test_late_input_makes_a_pulse(library):
    run, nets = play(library, hazard(8), [{"a": 0}, {"a": 1}, {"a": 1}, {"a": 0}])
    assert run.settled.toggles[nets["y"]] == 0
    assert run.delayed.toggles[nets["y"]] == pytest.approx(4 / 3)  # up and down, at two of three edges
    assert run.settled.toggles[nets["a"]] == run.delayed.toggles[nets["a"]] == pytest.approx(2 / 3)
    assert 0.1 < run.settle_ns < 0.6
    assert 0 < run.delayed.high[nets["y"]] < 0.2
    assert run.delayed.high[nets["a"]] == pytest.approx((2.4 + 2.5 + 0.1) / 7.5)  # inputs come 0.1 ns after the edge
    assert run.extra_transitions > 0


def test_pulses_shorter_than_a_gate_delay_do_not_come_out(library):
    run, nets = play(library, hazard(1), [{"a": 0}, {"a": 1}])
    assert run.delayed.toggles[nets["y"]] == 0


def test_delay_is_that_of_the_library(library):
    flat = flatten(netlist_of(["a"], ["y"], [("INV_X1", {"A": "a", "ZN": "y"})]), library)
    engine = PowerEngine(flat, library, library.wire_loads[WIRE_LOAD])
    net = int(flat.ports["y"][1][0])
    arc = library.cell("INV_X1").pins["ZN"].slew[0]
    expected = float(arc.delay_fall.lookup(0.02, engine.loads[net]))
    run, _ = play(library, netlist_of(["a"], ["y"], [("INV_X1", {"A": "a", "ZN": "y"})]), [{"a": 0}, {"a": 1}])
    assert run.settle_ns == pytest.approx(0.1 + expected, abs=1e-5)


def test_only_the_chosen_runs_count(library):
    run, nets = play(library, hazard(8), [{"a": 0}, {"a": 1}, {"a": 0}], lanes=(3, 9, 60))
    assert run.delayed.cycles == 6 and run.delayed.toggles[nets["y"]] == 2.0


def test_a_net_that_settles_elsewhere_is_caught(library):
    def corrupt(trace):
        trace.values[2, -1] ^= np.uint64(1)

    with pytest.raises(SynthesisError, match=r"with delays net \d+ does not settle to its value in cycle 2 of run 0"):
        play(library, hazard(8), [{"a": 0}, {"a": 1}, {"a": 0}], corrupt)


def test_empty_trace(library):
    with pytest.raises(SynthesisError, match="the trace is empty: record at least one cycle of one run"):
        play(library, hazard(2), [{"a": 0}])


def test_missing_compiler(library, monkeypatch, tmp_path):
    monkeypatch.setenv("FINEQ_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SynthesisError, match=r"g\+\+ is missing \(no g\+\+ on the PATH\): install a C\+\+ compiler"):
        play(library, hazard(2), [{"a": 0}, {"a": 1}])
    monkeypatch.undo()
    monkeypatch.setenv("FINEQ_SIM_CACHE", str(tmp_path / "cache"))
    broken = tmp_path / "broken.cpp"
    broken.write_text("int main( {")
    monkeypatch.setattr(event_simulator, "SOURCE", broken)
    with pytest.raises(SynthesisError, match="the event simulator does not compile: .*error"):
        play(library, hazard(2), [{"a": 0}, {"a": 1}])
