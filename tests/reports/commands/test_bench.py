"""The benchmark runs, and its figures follow from what it timed. How fast anything is, no test asks."""

import json
import subprocess
import sys

import pytest

from fineq_reports.bench import records, timing


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fineq", "bench", *arguments], capture_output=True, text=True)


def test_writes_both_files_and_prints_the_page(tmp_path):
    output = tmp_path / "new" / "bench"
    done = run_script("--output", str(output), "--rows", "30", "--columns", "50", "--rounds", "2", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["bench.json", "bench.md"]
    assert done.stdout == (output / "bench.md").read_text() + "\n"
    report = json.loads((output / "bench.json").read_text())
    assert report["settings"] == {"rows": 30, "columns": 50, "rounds": 2, "threads": 1}
    cases = {row["case"]: row for table in report["tables"] for row in table["rows"]}
    assert {case for case, row in cases.items() if row["bar"]} == set(timing.BARS)
    assert all(row["seconds"] > 0 and row["ratio"] > 0 for row in cases.values())
    assert all(name in report["machine"] for name in ("processor", "cores", "compiler", "torch", "python"))
    assert {peak["step"] for peak in report["peaks"]} >= {"quantize (paper)", "linear, 32 tokens"}


def test_output_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    done = run_script("--output", str(tmp_path / "file" / "bench"))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"error: cannot read or write {tmp_path}/file/bench: Not a directory\n"


def test_ratios_are_taken_within_a_round(monkeypatch):
    # Warm-up, then two rounds: baseline, case, baseline; the machine is ten times slower in the second.
    times = iter([timing.Times(t, 1.0) for t in (1.0, 6.0, 2.0, 10.0, 30.0, 10.0)])
    monkeypatch.setattr(timing, "times_of", lambda function: next(times))
    table = timing.measure("title", {"base": lambda: None, "unpack to int8": lambda: None}, 2, weights=36)
    base, case = table.rows
    assert base.seconds == 6.0 and base.ratio == 1.0 and base.verdict == ""
    assert case.seconds == 18.0 and case.rate == 2.0
    assert case.cpu_seconds == case.cpu_ratio == 1.0
    assert case.ratio == pytest.approx((6 / 1.5 + 3) / 2) and case.quartiles == pytest.approx((3.25, 3.75))
    assert case.verdict == "within 6"
    assert records.Row("unpack to int8", 1.0, 1.0, 6.1, (6.0, 6.2), 6.1, 1.0, 6.0).verdict == "misses 6"


def test_peak_memory_counts_what_the_step_needs():
    megabytes = timing.peak_of(lambda: bytearray(b"x" * 50_000_000))
    if megabytes is None:
        pytest.skip("this system does not tell the peak")
    assert 95 < megabytes < 110
