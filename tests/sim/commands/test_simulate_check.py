"""`fineq simulate-check`: the files it writes, and what it says when a run is not exact."""

import json

from helpers.running.command_line import run_fineq

from fineq_sim.perf import exactness


def test_a_small_table(tmp_path):
    done = run_fineq("simulate-check", "--machine", "accelerator_5x7", "--runs", 2, "--output", tmp_path)
    assert done.code == 0, done.stderr
    assert "accelerator_5x7: 2 of 2 runs exact" in done.stdout
    table = json.loads((tmp_path / "simulator.json").read_text())
    assert sum(row["exact"] for row in table["rows"]) == 2
    assert "2 of 2 runs are exact" in (tmp_path / "simulator.md").read_text()


def test_a_run_that_is_not_exact(tmp_path, monkeypatch):
    right = exactness.run

    def run(*arguments):
        counted = right(*arguments)
        return type(counted)({**counted.values, "tiles": counted["tiles"] + 1}, True)

    monkeypatch.setattr(exactness, "run", run)
    done = run_fineq("simulate-check", "--machine", "accelerator_5x7", "--runs", 1, "--output", tmp_path)
    assert done.code == 1
    assert "1 of 1 runs of the simulator are not exact" in done.stderr
    assert "{'tiles': 1}" in (tmp_path / "simulator.md").read_text()


def test_an_unknown_machine(tmp_path):
    done = run_fineq("simulate-check", "--machine", "accelerator_6x7", "--output", tmp_path)
    assert done.code == 1 and not list(tmp_path.iterdir())
    assert "unknown accelerator 'accelerator_6x7': choose one of accelerator_64x64, " in done.stderr
