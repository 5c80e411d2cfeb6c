"""`fineq explore` as a user calls it: files, going on after a stop, and what it refuses."""

import csv

import pytest
from helpers.running.command_line import run_fineq

SPACE = """
base: accelerator_16x16
axes:
  encoding: [unary, cluster]
  rows: [16, 32]
  outstanding_reads: [4, 8]
"""


def test_files_and_going_on(tmp_path):
    (tmp_path / "s.yaml").write_text(SPACE)
    arguments = (
        "explore",
        tmp_path / "s.yaml",
        "smollm2-135m",
        "--seq",
        20,
        "--jobs",
        1,
        "--top",
        2,
        "--store",
        tmp_path / "kept",
    )
    outcome = run_fineq(*arguments, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.stderr
    names = {"exploration-points.csv", "exploration.md", "exploration.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    rows = list(csv.DictReader((tmp_path / "out" / "exploration-points.csv").open()))
    assert len(rows) == 8 and 1 <= sum(row["front"] == "1" for row in rows) <= 8
    page = (tmp_path / "out" / "exploration.md").read_text()
    for said in ("8 machines of a grid of 8", "MAC 8x3 by hand, 64x64", "run again exactly", "% at worst"):
        assert said in page
    lines = (tmp_path / "kept" / "points.jsonl").read_text().splitlines()
    (tmp_path / "kept" / "points.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])
    again = run_fineq(*arguments, "-o", tmp_path / "out")
    assert again.code == 0 and (tmp_path / "out" / "exploration.md").read_text() == page
    assert sorted((tmp_path / "kept" / "points.jsonl").read_text().splitlines()) == sorted(lines)


@pytest.mark.parametrize(
    "text, workload, said",
    [
        ("axes: {rows: []}", "smollm2-135m", "axis rows is"),
        (SPACE, "smolm", "did you mean smollm2-135m"),
        ("axes: {rows: [0]}", "smollm2-135m", "no machine of the space can be built"),
    ],
)
def test_bad_input(tmp_path, text, workload, said):
    (tmp_path / "s.yaml").write_text(text)
    outcome = run_fineq("explore", tmp_path / "s.yaml", workload, "--seq", 9, "--jobs", 1, "--store", tmp_path)
    assert outcome.code == 1 and said in outcome.stderr
