"""The mutation check: faults fit the sources, a caught one is reported, a surviving one fails."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fineq.common.cache_keys import cache_key, deciding_files
from fineq_sim.runs import mutation
from fineq_sim.runs.catalog import all_runs
from fineq_sim.runs.mutation import Fault, FaultOutcome, MutationError, copy_sources, load_faults, markdown, mutate

REPOSITORY = Path(__file__).parents[3]
FAULTS = load_faults(REPOSITORY / "tests/faults")
SIMULATOR = "icarus" if shutil.which("iverilog") else "verilator"


def test_there_are_enough_faults_and_each_fits_the_sources():
    assert len(FAULTS) >= 10
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    for fault in FAULTS:
        assert (REPOSITORY / fault.file).read_text().count(fault.old) == 1, fault.name
        assert fault.old != fault.new, fault.name
        assert sum(map(bool, (fault.bench, fault.tests, fault.proof))) == 1, fault.name


def test_each_check_exists():
    names = {entry.name for entry in all_runs()}
    for fault in FAULTS:
        assert not fault.bench or fault.bench in names, fault.name
        assert all((REPOSITORY / path).is_file() for path in fault.tests), fault.name


def test_command_catches_a_fault(tmp_path):
    command = [
        sys.executable,
        "-m",
        "fineq",
        "mutate",
        "--output",
        tmp_path,
        "--only",
        "decoder-sign-lost",
        "--simulator",
        SIMULATOR,
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    assert "decoder-sign-lost: caught by every_code_and_payload" in result.stdout
    assert "1 of 1 planted faults are caught." in (tmp_path / "mutation.md").read_text()


def test_a_harmless_change_survives(tmp_path):
    check = ("tests/sim/reference/test_core_cycles.py",)
    harmless = Fault(
        "harmless", "nothing", "sw/fineq/format/temporal.py", "return max(1,", "return max( 1,", tests=check
    )
    (verdict,) = mutate(REPOSITORY, tmp_path, [harmless], simulator=SIMULATOR)
    assert verdict.caught_by is None
    assert "**survives**" in markdown([verdict], SIMULATOR)


@pytest.fixture
def tried(monkeypatch):
    """Checks that ran, with no simulator or pytest started: those on unchanged copies pass, others fail."""
    names = []

    def run_check(fault, copy, simulator, cache):
        names.append(copy.name)
        return None if copy.name.endswith("-clean") else "some_test"

    monkeypatch.setattr(mutation, "run_check", run_check)
    return names


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, tried):
    first, second = FAULTS[:2]
    same_check = replace(second, bench=first.bench, tests=first.tests, proof=first.proof)
    assert next(mutate(REPOSITORY, tmp_path, [first], simulator=SIMULATOR)).caught_by == "some_test"
    assert tried == [f"{first.name}-clean", first.name]
    outcomes = list(mutate(REPOSITORY, tmp_path, [first, same_check], simulator=SIMULATOR, jobs=2))
    assert {outcome.fault.name for outcome in outcomes} == {first.name, second.name}
    assert tried == [f"{first.name}-clean", first.name, second.name]


def test_a_bench_that_the_simulator_does_not_run_goes_to_the_other(tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr(mutation, "run_check", lambda fault, copy, simulator, cache: used.append(simulator))
    (alone,) = [fault for fault in FAULTS if fault.name == "link-checksum-ignored"]
    list(mutate(REPOSITORY, tmp_path, [alone], simulator="icarus"))
    assert set(used) == {"verilator"}


def _changed(top, name):
    with (top / name).open("a") as file:
        file.write("# one more line\n")


def test_outcomes_live_until_something_changes_that_the_check_may_use(tmp_path, tried):
    top = tmp_path / "top"
    every = {name for names in mutation.COPIED.values() for name in names}
    for name in every - {"pyproject.toml"}:
        shutil.copytree(REPOSITORY / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(REPOSITORY / "pyproject.toml", top)
    faults = [next(fault for fault in FAULTS if fault.kind == kind) for kind in mutation.COPIED]
    again = {
        "sw/fineq/format/temporal.py": {"bench", "proof", "tests"},
        "scripts/versions.py": {"proof", "tests"},
        "docs/index.md": {"tests"},
        "README.md": set(),
    }
    outcomes = [list(mutate(top, tmp_path, faults, simulator=SIMULATOR))]
    for file, kinds in again.items():
        tried.clear()
        _changed(top, file)
        outcomes.append(list(mutate(top, tmp_path, faults, simulator=SIMULATOR)))
        expected = [fault.name for fault in faults if fault.kind in kinds]
        assert sorted(tried) == sorted([*expected, *(f"{name}-clean" for name in expected)]), file
    assert {outcome.caught_by for each in outcomes for outcome in each} == {"some_test"}


def test_the_sources_of_the_project_are_decided_by_what_they_import(tmp_path, tried, monkeypatch):
    faults = [next(fault for fault in FAULTS if fault.kind == kind) for kind in ("bench", "proof")]
    asked = []

    def key(*modules, inputs=None):
        asked.append(modules)
        return cache_key(*modules, inputs=inputs)

    monkeypatch.setattr(mutation, "cache_key", key)
    list(mutate(REPOSITORY, tmp_path, faults, simulator=SIMULATOR))
    benches = {run.name: f"fineq_sim.benches.{run.bench}" for run in all_runs()}
    assert asked[:2] == [(benches[faults[0].bench], "fineq_sim.commands.sim"), ("fineq_formal.commands.formal",)]


def test_what_decides_a_check_has_the_file_of_each_fault():
    """Otherwise an outcome would outlive a change around the fault."""
    benches = {run.name: f"fineq_sim.benches.{run.bench}" for run in all_runs()}
    deciding = {}
    for fault in FAULTS:
        if fault.kind != "tests":
            modules = (
                (benches[fault.bench], "fineq_sim.commands.sim") if fault.bench else ("fineq_formal.commands.formal",)
            )
            if modules not in deciding:
                deciding[modules] = {path.resolve() for path in deciding_files(*modules)}
            assert (REPOSITORY / fault.file).resolve() in deciding[modules], fault.name


def test_another_package_makes_checks_run_again(tmp_path, tried, monkeypatch):
    fault = next(fault for fault in FAULTS if fault.bench)
    list(mutate(REPOSITORY, tmp_path, [fault], simulator=SIMULATOR))
    fewer = [each for each in mutation.metadata.distributions() if each.name != "numpy"]
    monkeypatch.setattr(mutation.metadata, "distributions", lambda **_: fewer)
    list(mutate(REPOSITORY, tmp_path, [fault], simulator=SIMULATOR))
    assert tried == 2 * [f"{fault.name}-clean", fault.name]


def test_a_check_that_fails_without_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(mutation, "run_check", lambda *_: "some_test")
    with pytest.raises(MutationError, match=r"fails without any fault \(some_test\): repair that first"):
        list(mutate(REPOSITORY, tmp_path, FAULTS[:1], simulator=SIMULATOR))


def test_a_fault_that_no_longer_fits(tmp_path):
    stale = Fault(
        "stale",
        "nothing",
        "sw/fineq/format/temporal.py",
        "no such text",
        "",
        tests=("tests/sim/reference/test_core_cycles.py",),
    )
    with pytest.raises(MutationError) as error:
        copy_sources(REPOSITORY, tmp_path / "copy", stale.kind, stale)
    assert str(error.value) == (
        "fault stale: its text stands 0 times in sw/fineq/format/temporal.py and must stand there once; "
        "bring the fault up to date"
    )


def test_report_counts():
    verdicts = [FaultOutcome(FAULTS[0], "some_test"), FaultOutcome(FAULTS[1], None)]
    assert "1 of 2 planted faults are caught." in markdown(verdicts, "icarus")


def test_unknown_fault(tmp_path):
    command = [sys.executable, "-m", "fineq", "mutate", "--output", tmp_path, "--only", "nothing"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 1
    assert result.stderr.startswith("error: no fault matches 'nothing': the names are encoder-off-by-one, ")
