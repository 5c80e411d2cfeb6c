"""Studies: engines agree, `auto` checks and switches, attention and head are never lost, sums are sums."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.interface.registers import COUNTERS
from fineq_sim.driver.memory_timing import DRAM_PARTS, MemoryTiming
from fineq_sim.perf import tile
from fineq_sim.perf.jobs import place_jobs
from fineq_sim.perf.twin import run
from fineq_sim.study import engines
from fineq_sim.study.architecture import Architecture, read_architecture
from fineq_sim.study.engines import EngineError
from fineq_sim.study.record import SCHEMA_VERSION, layers_csv, result_text
from fineq_sim.study.run import run_study
from fineq_sim.study.steps import find_steps
from fineq_sim.workloads.find import find_workload
from fineq_sim.workloads.work import Head, Linear, Pass, Workload, WorkloadError

RESULTS = Path(__file__).parents[3] / "docs" / "results"
SMALL = Architecture("small", ACCELERATORS["accelerator_16x16"], MemoryTiming(latency=5))


def study(workload, architecture=SMALL, steps=None, **options):
    packed = all(each.codes for work in workload.passes for each in work.linears)
    return run_study(workload, architecture, find_steps(steps, architecture.config, RESULTS, packed), **options)


def products(*linears, heads=()):
    return Workload("w", "a test", (Pass("given", None, tuple(linears), (), tuple(heads)),))


def test_exact_is_the_twin():
    codes = np.random.default_rng(1).integers(-3, 4, (50, 40)).astype(np.int8)
    linear = Linear("a", 20, 50, 40, 3, codes=lambda: codes)
    found = study(products(linear), engine="exact")
    (outcome,) = found.outcomes
    (layer,) = outcome.layers
    source = find_steps(None, SMALL.config, RESULTS, True)
    jobs = place_jobs(SMALL.config, [(20, 50, 40, OutputFormat.FIXED)])
    expected = run(SMALL.config, jobs, [source.table(SMALL.config, linear, source.bounds[0])], SMALL.memory)
    assert layer.counters == dict(expected.values) and layer.cycles == expected.cycles and layer.error == 0
    assert outcome.cycles == 3 * expected.cycles and outcome.seconds == pytest.approx(outcome.cycles / 400e6)
    assert sum(layer.streams.values()) == expected["bytes_read"] + expected["bytes_written"]


def test_auto_checks_each_shape_and_takes_what_is_exact():
    workload = products(Linear("a", 200, 300, 250), Linear("b", 200, 300, 250, 2), Linear("c", 170, 90, 250))
    found = study(workload, steps="all", budget=60)
    assert found.check is not None and (found.check.shapes, found.check.checked) == (2, 2)
    assert "checked exactly: 2 of 2 shapes" in found.check.sentence()
    assert all(layer.engine == "exact" and layer.error == 0 for layer in found.outcomes[0].layers)


@pytest.mark.parametrize(
    "worst, said", [(0.0, "worst no error"), (-2e-6, "worst below 0.01%"), (0.0123, "worst +1.23%")]
)
def test_how_far_off_the_other_engine_is(worst, said):
    assert engines.Check(2, 2, worst).sentence() == f"checked exactly: 2 of 2 shapes, {said}"


def test_auto_without_time_says_so():
    found = study(products(Linear("a", 200, 300, 250)), steps="all", budget=0)
    assert found.check is not None and found.check.checked == 0 and "budget of 0 s" in found.check.sentence()
    assert found.outcomes[0].error is None


def test_auto_carries_the_error_over_to_layers_of_the_same_shape():
    def layer(name, seed):
        codes = np.random.default_rng(seed).integers(-3, 4, (90, 128)).astype(np.int8)
        return Linear(name, 170, 90, 128, codes=lambda: codes)

    found = study(products(layer("a", 1), layer("b", 2)), budget=60)
    first, second = found.outcomes[0].layers
    assert (first.engine, second.engine) == ("exact", "tile")
    assert second.error == pytest.approx(abs(found.check.worst))
    exact = study(products(layer("a", 1), layer("b", 2)), engine="exact").outcomes[0].layers[1]
    assert second.cycles == pytest.approx(exact.cycles, rel=0.02)


def test_auto_switches_where_the_estimate_is_off(monkeypatch):
    estimate = tile.estimate

    def slow(*arguments):
        found = estimate(*arguments)
        return replace(found, cycles=round(1.05 * found.cycles))

    monkeypatch.setattr(engines.tile, "estimate", slow)
    workload = products(Linear("a", 200, 300, 250), Linear("b", 170, 90, 250))
    found = study(workload, budget=60)  # a range: only one end of it is checked
    assert "all were run exactly" in found.check.sentence() and abs(found.check.worst) > 0.02
    assert {layer.engine for each in found.outcomes for layer in each.layers} == {"exact"}


@pytest.mark.parametrize("engine", ["tile", "exact"])
def test_a_layer_beyond_one_descriptor_is_cut_as_the_driver_does(engine):
    architecture = Architecture("wide", ACCELERATORS["accelerator_64x64"])
    found = study(products(Linear("down", 3, 8, 28672)), architecture, steps="all", engine=engine)
    (layer,) = found.outcomes[0].layers
    assert layer.parts == 2 and any("Cut into several jobs" in note and "down" in note for note in found.notes)
    assert layer.counters["weight_vectors"] == 28672 // 64 * 8 and layer.counters["jobs"] == 2
    assert layer.streams["parameters"] == 2 * DESCRIPTOR_BYTES  # sums, which the host adds and scales


def test_limits_of_the_machine_name_the_layer():
    with pytest.raises(EngineError, match="layer big has 70000 tokens: the machine takes at most 65535"):
        study(products(Linear("big", 70000, 8, 8)))


@pytest.mark.parametrize(
    "settings, engine, said",
    [
        ({"bus_bits": 256, "extrapolate": True}, "exact", "no RTL to be exact about"),
        ({"memory": {"kind": "dram", "part": "HBM2 pseudo channel"}}, "tile", "use --engine exact with a DRAM"),
        ({}, "fast", "unknown engine 'fast'"),
    ],
)
def test_engines_that_cannot(settings, engine, said):
    with pytest.raises(EngineError, match=said):
        study(products(Linear("a", 4, 8, 8)), read_architecture("m", settings), engine=engine)


def test_dram_is_exact_and_an_extrapolated_bus_is_marked():
    dram = Architecture("d", SMALL.config, MemoryTiming(latency=5, dram=DRAM_PARTS["DDR4-2400 x16"]))
    found = study(products(Linear("a", 40, 30, 50)), dram, steps="all")
    assert {layer.engine for layer in found.outcomes[0].layers} == {"exact"} and found.check is None
    wide = read_architecture("w", {"bus_bits": 256, "extrapolate": True})
    found = study(products(Linear("a", 40, 1000, 500)), wide, steps="all")
    assert "no RTL" in found.check.sentence() and any("extrapolated" in note for note in found.notes)
    narrow = study(products(Linear("a", 40, 1000, 500)), read_architecture("n", {"bus_bits": 64}), steps="all")
    assert narrow.outcomes[0].cycles > found.outcomes[0].cycles


@pytest.fixture(scope="module")
def model():
    return study(find_workload("smollm2-135m", sequences=[40], generate=3), results=RESULTS, engine="tile")


def test_attention_and_head_are_never_dropped(model):
    for outcome in model.outcomes:
        kinds = {layer.kind for layer in outcome.layers}
        assert kinds == {"linear", "attention", "head"} and outcome.timed
        assert outcome.macs == outcome.work.macs and 0.5 < outcome.array_share < 1
        assert f"{outcome.array_share:.2%} on the array" in outcome.share_sentence()
    host = study(find_workload("smollm2-135m", sequences=[40]), results=RESULTS, engine="tile", attention="host")
    for outcome in host.outcomes:
        assert not outcome.timed and "linear layers only" in outcome.share_sentence()
        assert outcome.macs == outcome.work.macs
    assert any("linear layers only" in note for note in host.notes)
    assert host.outcomes[0].cycles < model.outcomes[0].cycles
    with pytest.raises(WorkloadError, match="unknown attention mode 'none'"):
        study(find_workload("smollm2-135m", sequences=[4]), attention="none")


def test_unit_takes_the_longer_of_work_and_bus():
    quick = study(products(Linear("a", 1, 8, 8), heads=[Head("h", 1, 1000, 1000)]), engine="tile", steps="all")
    layer = quick.outcomes[0].layers[1]
    assert layer.cycles == pytest.approx(layer.moved_bytes / SMALL.port_bytes)
    many = study(products(Linear("a", 1, 8, 8), heads=[Head("h", 5000, 1000, 1000)]), engine="tile", steps="all")
    assert many.outcomes[0].layers[1].cycles == pytest.approx(5000 * 1000 * 1000 / 256)


def test_sums_are_sums(model):
    for outcome in model.outcomes:
        assert outcome.energy.on_chip == pytest.approx(sum(each.energy.on_chip for each in outcome.layers))
        assert outcome.cycles == pytest.approx(sum(each.cycles * each.count for each in outcome.layers))
    low, high = model.outcomes[0], model.outcomes[1]
    assert (low.bound.name, high.bound.name) == ("low", "high") and low.cycles < high.cycles


def test_energy_says_what_it_leaves_out(model):
    assert any(note.startswith("Not measured, so not in the energy") for note in model.notes)
    assert any("attention unit's energy is not measured" in note for note in model.notes) != (
        "pJ/MAC" in model.unit_source
    )


def test_files_of_a_study(model):
    rows = list(csv.DictReader(io.StringIO(layers_csv(model))))
    assert len(rows) == sum(len(each.layers) for each in model.outcomes)
    assert {f"counter_{each.name}" for each in COUNTERS} <= set(rows[0])
    assert rows[0]["counter_multiply_stall"] == "" and int(rows[0]["counter_multiply_busy"]) > 0
    document = json.loads(result_text(model, "fineq simulate x"))
    assert document["schema_version"] == SCHEMA_VERSION == 1 and document["command"] == "fineq simulate x"
    assert len(document["layers"]) == len(rows) and document["energy"]["not_measured"]
    milliseconds = sum(
        float(row["milliseconds"]) for row in rows if row["pass"] == "prefill 40" and row["steps"] == "low"
    )
    assert milliseconds == pytest.approx(1e3 * model.outcomes[0].seconds)
