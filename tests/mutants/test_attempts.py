"""Mutants of the decoder in its own bench: noticed by a test, kept, and none in the way while none is alive."""

import shutil
from dataclasses import replace

import pytest

from fineq.common.errors import FineqError
from fineq_hw.decode.decoder import Decoder
from fineq_hw.export.conversion import collect
from fineq_mutants.attempts import Attempts
from fineq_mutants.circuits import Circuit, identity, to_json
from fineq_mutants.matching import Holder, tried_circuits
from fineq_mutants.operators import sites
from fineq_mutants.sampling import Mutant, sample
from fineq_mutants.verdicts import Verdicts
from fineq_sim.runs.catalog import all_runs

pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def circuit():
    texts, manifest = collect({"decoder": Decoder()}, emit_src=True)
    return Circuit("decoder", "decoder", "", to_json({"decoder": texts["decoder"]}, manifest)["decoder"], {})


@pytest.fixture(scope="module")
def holder(cache):
    run = next(run for run in all_runs() if run.name == "decoder/all")
    design = run.design(cache=cache)
    return Holder(run, design, {"decoder": design.top})


def _attempts(circuit, holder, mutants, cache, place, earlier=None):
    verdicts = Verdicts(place / "kept", earlier)
    return Attempts(
        holder, {"decoder": circuit}, mutants, output=place / "work", cache=cache, verdicts=verdicts, seed=1
    )


def test_the_bench_notices_and_the_verdict_is_kept(circuit, holder, cache, tmp_path):
    mutants = sample([circuit], 6, 1)
    first = _attempts(circuit, holder, mutants, cache, tmp_path)
    found = dict(first.run(mutants))
    assert set(found) == set(mutants)
    assert sum(attempt.noticed is not None for attempt in found.values()) >= 4
    again = dict(_attempts(circuit, holder, mutants, cache, tmp_path).run(mutants))
    assert all(attempt.kept for attempt in again.values())
    assert {m: a.noticed for m, a in again.items()} == {m: a.noticed for m, a in found.items()}
    elsewhere = _attempts(circuit, holder, mutants, cache, tmp_path / "elsewhere", first.verdicts.used)
    assert all(attempt.kept for _, attempt in elsewhere.run(mutants))


def test_a_verdict_does_not_hold_for_another_circuit(circuit, holder, cache, tmp_path):
    """Cells are known by names that say nothing of what they are."""
    (mutant,) = sample([circuit], 1, 1)
    other = replace(circuit, netlist=circuit.netlist | {"attributes": {"other": "1"}})
    first, second = (_attempts(each, holder, [mutant], cache, tmp_path) for each in (circuit, other))
    assert first.name(mutant) != second.name(mutant)


def test_a_run_that_fails_without_a_mutant_is_an_error(circuit, holder, cache, tmp_path):
    """Here a fault is alive at 0."""
    site = next(site for site in sites(circuit.copy()) if site.kind == "operator")
    awake, other = (Mutant(number, "decoder", "decoder", site) for number in (0, 1))
    with pytest.raises(FineqError, match="decoder/all fails without any mutant"):
        list(_attempts(circuit, holder, [awake, other], cache, tmp_path).run([other]))


def test_verilated_programs_come_back(circuit, holder, cache, tmp_path):
    verilated = Holder(replace(holder.run, simulators=("verilator",)), holder.design, holder.modules)
    mutants = sample([circuit], 3, 1)
    found = dict(_attempts(circuit, verilated, mutants, cache, tmp_path).run(mutants))
    assert set(found) == set(mutants)
    assert any(attempt.noticed == "every_code_and_payload" for attempt in found.values())


def test_circuits_with_a_run_of_their_own_are_tried(circuit, holder):
    other = Circuit("decoder_2", "decoder", "other", circuit.netlist, {})
    held = Circuit("part", "part", "part", circuit.netlist, {})
    nobody = Circuit("nobody", "nobody", "nobody", circuit.netlist, {})
    holders = [holder, Holder(holder.run, holder.design, {"part": "inside"})]
    assert tried_circuits([circuit, other, held, nobody], holders) == [circuit, held]


def test_circuits_are_compared_without_their_names():
    assert identity("a", "// x\nmodule a(b);\nendmodule") == identity("c", "// y\nmodule c(b);\nendmodule")
