"""Simulators beside one another: what is measured, and what is said where SCALE-Sim is not there."""

import os
import sys
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq.common.errors import FineqError
from fineq_reports.bench import page
from fineq_reports.bench.scale_sim import ScaleSim
from fineq_reports.bench.simulators import run_simulator_bench


def test_without_scale_sim_it_says_how_to_get_it():
    report = run_simulator_bench(None, small=True)
    (table,) = report.tables
    assert [row.case for row in table.rows] == ["exact", "tile"] and all(row.rate > 0 for row in table.rows)
    text = page.simulators_markdown(report)
    assert "SCALE-Sim was not measured: give --scale-sim the Python of `python -m venv" in text
    assert "MACs per second" in text and "Weights per second" not in text


def test_a_python_without_scale_sim(tmp_path):
    with pytest.raises(FineqError, match="has no SCALE-Sim: give --scale-sim the Python of"):
        ScaleSim(Path(sys.executable)).check()
    with pytest.raises(FineqError, match="cannot be started"):
        ScaleSim(tmp_path / "none").check()


def test_a_run_that_fails_says_why(tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho first >&2; echo the reason >&2; exit 1\n")
    program.chmod(0o755)
    with pytest.raises(FineqError, match=r"SCALE-Sim failed on 1 x 2 x 3: the reason$"):
        ScaleSim(program).cycles(1, 2, 3)


def test_time_of_other_programs_counts():
    from fineq_reports.bench.timing import times_of

    spin = "import time\nwhile time.process_time() < 0.3: pass"
    taken = times_of(lambda: os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", spin]))
    assert taken.cpu > 0.25


@pytest.mark.skipif("FINEQ_SCALE_SIM" not in os.environ, reason="needs FINEQ_SCALE_SIM, a Python with SCALE-Sim 3.0.0")
def test_scale_sim_gives_cycles():
    rival = ScaleSim(Path(os.environ["FINEQ_SCALE_SIM"]), 8, 8)
    rival.check()
    # 16 x 16 x 16 on 8 x 8: four folds of at least 16 cycles.
    assert rival.cycles(16, 16, 16) > 64


def test_command(tmp_path):
    result = run_fineq("bench", "--only", "simulators", "--rows", "1", "--output", tmp_path)
    assert result.code == 0, result.stderr
    assert (tmp_path / "bench-simulators.md").is_file() and (tmp_path / "bench-simulators.json").is_file()
    result = run_fineq("bench", "--only", "simulators", "--scale-sim", sys.executable, "--output", tmp_path)
    assert result.code == 1 and "has no SCALE-Sim" in result.stderr
