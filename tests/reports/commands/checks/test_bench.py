"""The benchmark runs and writes. How fast anything is, no test asks."""

import json
import subprocess
import sys

from fineq_reports.bench import timing


def run_script(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "fineq", "bench", *arguments], capture_output=True, text=True)


def test_writes_both_files_and_prints_the_page(tmp_path):
    output = tmp_path / "new" / "bench"
    sizes = ("--only", "packing", "--rows", "30", "--columns", "50", "--rounds", "2", "--threads", "1")
    done = run_script("--output", str(output), *sizes)
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


def test_ggml_in_no_directory(tmp_path):
    done = run_script("--output", str(tmp_path / "bench"), "--ggml", str(tmp_path / "absent"))
    assert done.returncode == 1 and not (tmp_path / "bench").exists()
    assert done.stderr == (
        f"error: {tmp_path}/absent is not a directory: give --ggml the folder that scripts/build_ggml.py names\n"
    )
