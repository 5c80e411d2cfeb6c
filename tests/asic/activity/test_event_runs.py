"""Energy by event: each kind of cycle recorded on mapped cores is the one that it is taken for."""

from types import SimpleNamespace

import numpy as np
import pytest

from fineq_asic.activity import event_runs
from fineq_asic.activity.core_driver import CoreWork
from fineq_asic.activity.event_runs import STEPS, Event, EventOptions, run_events
from fineq_asic.activity.workload import gaussian_data, make_tiles
from fineq_asic.errors import SynthesisError
from fineq_asic.flows.array_energy import ArrayEnergyRun, measure_events
from fineq_asic.flows.synthesis import warm_up_cycles
from fineq_asic.mapping.designs import designs_of
from fineq_asic.netlist.flat import flatten
from fineq_asic.timing.opensta import WIRE_LOAD, Constraints
from fineq_hw.export.manifest import read_manifest
from fineq_reports.synthesis.events import as_json, markdown

FINEQ, MAC = "fineq_5x7_column_latch_packed", "mac8x3_5x7_broadcast"
DESIGNS = {design.top: design for design in designs_of("5x7") if design.top in (FINEQ, MAC)}


@pytest.fixture(scope="module")
def data():
    return gaussian_data()


def record(design, flat, data):
    warm_up, cycles = warm_up_cycles(design), 16
    first, second, third = (make_tiles(data, design.config, warm_up + cycles, seed) for seed in range(3))
    work = CoreWork(design.config, first, design.packed)
    return run_events(flat, work, (second, third), EventOptions(warm_up, cycles))


@pytest.fixture(scope="module")
def recorded(map_small, library, data):
    found = {}
    for top, design in DESIGNS.items():
        flat = flatten(map_small(top)[1], library)
        found[top] = flat, record(design, flat, data)
    return found


@pytest.mark.parametrize("top", DESIGNS)
def test_only_the_clock_moves_while_nothing_does(top, recorded):
    flat, records = recorded[top]
    for event in (Event.IDLE, Event.STALLED):
        toggles = records[event].activity.toggles.copy()
        clocks = records[event].trace.clock_nets
        assert toggles[int(flat.ports["clk"][1][0])] == 2.0
        toggles[clocks] = 0
        assert not toggles.any(), event


def test_the_clock_of_a_stalled_pipeline_stands_still(recorded):
    """A MAC array that waits for weights moves its empty pipeline on; one whose results wait does not."""
    _, records = recorded[MAC]
    idle, stalled = (
        records[event].activity.toggles[records[event].trace.clock_nets].sum() for event in (Event.IDLE, Event.STALLED)
    )
    assert stalled < idle


@pytest.mark.parametrize("top", DESIGNS)
def test_less_moves_with_fewer_tokens(top, recorded):
    _, records = recorded[top]
    none, one, full, old = (
        records[event].activity.toggles.sum()
        for event in (Event.STEP_ZERO, Event.STEP_ONE, Event.STEP, Event.STEP_STALE)
    )
    assert none < one < full
    assert old == pytest.approx(full, rel=0.15)
    assert all(records[event].steps == 1 for event in STEPS)
    assert records[Event.PRELOAD].steps == (0 if top == FINEQ else 1)  # a MAC core does not say when it computes


def test_preload_opens_one_row_a_beat(recorded):
    """Of the gated clocks, one activation row's runs in each beat."""
    _, records = recorded[FINEQ]
    record, beats = records[Event.PRELOAD], DESIGNS[FINEQ].config.rows - 1  # the first one only sets the reference
    gated = record.activity.toggles[record.trace.clock_nets[record.trace.clock_enables >= 0]]
    assert record.activity.cycles == 64 * beats
    assert np.count_nonzero(gated == 2 / beats) == beats  # one pulse each
    assert np.count_nonzero(gated == 2) == 1  # the counter of rows
    assert np.count_nonzero(gated) == beats + 1


def test_rows_without_a_token_are_checked_too(recorded, data, monkeypatch):
    """Expected sums that take the old rows for zeros do not hold."""
    held_rows = event_runs._first_row_of
    monkeypatch.setattr(
        event_runs, "_first_row_of", lambda tiles, held: held_rows(tiles, [np.zeros_like(each) for each in held])
    )
    with pytest.raises(SynthesisError, match="the mapped netlist is wrong: weight vector .* row [1-4]"):
        record(DESIGNS[FINEQ], recorded[FINEQ][0], data)


def test_energies_and_their_report(map_small, library, data):
    files, netlist = map_small(FINEQ)
    mapped = SimpleNamespace(
        design=DESIGNS[FINEQ], netlist=netlist, manifest=read_manifest(files[0].parent), port_loads={}
    )
    tools = SimpleNamespace(library=library, wire_load=library.wire_loads[WIRE_LOAD])
    said = []
    found = measure_events(mapped, data, tools, Constraints(2.5), said.append, lanes=1)
    energy = {event: each.total for event, each in found.events.items()}
    assert energy[Event.IDLE] < energy[Event.STEP_ZERO] < energy[Event.STEP_ONE] < energy[Event.STEP]
    assert found.events[Event.STEP].total > found.events[Event.STEP].settled  # glitches
    assert found.events[Event.IDLE].total == pytest.approx(found.events[Event.IDLE].settled)
    assert abs(found.one_row_off) < 0.05
    run = ArrayEnergyRun("5x7", 2.5, {"library": "x"}, data.source, "fineq array-energy --size 5x7", [found])
    assert f"{energy[Event.PRELOAD]:.2f}" in markdown(run) and '"step_zero"' in as_json(run)
