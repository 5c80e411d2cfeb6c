"""Verdicts that are kept: only of runs that passed, only for exactly what was run, never from a damaged file."""

from dataclasses import replace
from pathlib import Path

import pytest

from fineq_sim.runs import kept
from fineq_sim.runs.catalog import select
from fineq_sim.runs.kept import VERDICT_FILE, KeptResult
from fineq_sim.runs.runner import CaseOutcome, RunResult, VerilogDesign

PASSED = RunResult("decoder/all", "verilator", 1, 2.0, 3.0, (CaseOutcome("every_code", 0.5, None),))


def test_a_passed_run_is_found_again(tmp_path):
    kept.keep(tmp_path, "key", PASSED)
    found = kept.find(tmp_path, "key", PASSED.name)
    assert isinstance(found, KeptResult)
    assert found.passed
    assert replace(PASSED, waves=()) == RunResult(*(getattr(found, name) for name in RunResult.__dataclass_fields__))


def test_a_failed_run_is_not_kept(tmp_path):
    kept.keep(tmp_path, "key", replace(PASSED, tests=(CaseOutcome("every_code", 0.5, "wrong"),)))
    assert not (tmp_path / VERDICT_FILE).exists()


def test_another_key_or_a_missing_waveform_runs_again(tmp_path):
    wave = tmp_path / "dump.vcd"
    wave.write_text("")
    kept.keep(tmp_path, "key", replace(PASSED, waves=(wave,)))
    assert kept.find(tmp_path, "other", PASSED.name) is None
    assert kept.find(tmp_path, "key", PASSED.name) is not None
    wave.unlink()
    assert kept.find(tmp_path, "key", PASSED.name) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "key"}', '{"key": "key", "tests": 3}'])
def test_a_damaged_verdict_is_none(tmp_path, text):
    (tmp_path / VERDICT_FILE).write_text(text)
    assert kept.find(tmp_path, "key", PASSED.name) is None


def test_a_verdict_without_tests_is_none(tmp_path):
    kept.keep(tmp_path, "key", PASSED)
    file = tmp_path / VERDICT_FILE
    file.write_text(file.read_text().replace('[\n   "every_code",\n   0.5\n  ]', ""))
    assert kept.find(tmp_path, "key", PASSED.name) is None


def test_everything_that_decides_a_run_is_in_its_key(tmp_path: Path):
    [entry] = select("verilator", "decoder/all")
    design = VerilogDesign("top", {"top.v": "module top; endmodule\n"})
    key = kept.run_key(entry, design, "verilator", 1, False, False)
    assert key == kept.run_key(replace(entry), replace(design), "verilator", 1, False, False)
    others = [
        kept.run_key(replace(entry, parameters={"rows": 3}), design, "verilator", 1, False, False),
        kept.run_key(replace(entry, bench="array.accumulator_bench"), design, "verilator", 1, False, False),
        kept.run_key(replace(entry, tests="one"), design, "verilator", 1, False, False),
        kept.run_key(replace(entry, random_start=True), design, "verilator", 1, False, False),
        kept.run_key(
            entry, replace(design, sources={"top.v": "module top; wire a; endmodule\n"}), "verilator", 1, False, False
        ),
        kept.run_key(entry, replace(design, outputs={"a": "valid"}), "verilator", 1, False, False),
        kept.run_key(entry, design, "verilator", 2, False, False),
        kept.run_key(entry, design, "verilator", 1, True, False),
        kept.run_key(entry, design, "verilator", 1, False, True),
    ]
    assert len({key, *others}) == 1 + len(others)
