"""The benchmark's page comes out of its figures; what it says of the machine."""

import json
from pathlib import Path

from helpers.documents.bench_reports import read_tables

from fineq.common.provenance import unmarked
from fineq.kernels import build
from fineq_reports.bench.machine import describe_machine
from fineq_reports.bench.page import as_markdown
from fineq_reports.bench.records import BenchTable, Peak, Report, Row

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def read_report(path: Path) -> Report:
    content, tables = read_tables(path)
    peaks = [Peak(**peak) for peak in content["peaks"]]
    return Report(content["machine"], content["settings"], tables, peaks, content["notes"])


def test_the_published_page_is_that_of_the_published_figures():
    report = read_report(RESULTS / "bench.json")
    assert as_markdown(report) == unmarked((RESULTS / "bench.md").read_text())
    assert json.dumps(report.as_dict(), indent=1) + "\n" == (RESULTS / "bench.json").read_text()


def test_what_is_not_known_is_told():
    rows = [
        Row("base", 1.0, 1.0, 1.0, (1.0, 1.0), 1.0, 5.0, None),
        Row("a|b", 2.0, 3.0, 2.0, (1.5, 2.5), 3.0, 4.0, 1.5),
    ]
    page = as_markdown(
        Report({"cores": "2"}, dict.fromkeys(("rows", "columns", "threads", "rounds"), 1),
               [BenchTable("T", "base", rows)], [Peak("step", None, "other", 1.25)], ["A note."])
    )  # fmt: skip
    assert "| base | 1000.00 | 1000.00 | 5 | 1.00 | 1.00 |  |\n" in page  # no spread around what is compared with
    assert "| a\\|b | 2000.00 | 3000.00 | 4 | 2.00 (1.50 to 2.50) | 3.00 | misses 1.5 |\n" in page
    assert "| step | not known | other | 1.2 |\n\nA note.\n" in page


def test_a_machine_without_compiler(monkeypatch):
    assert describe_machine()["compiler"] != "" and int(describe_machine()["cores"]) >= 1
    monkeypatch.setattr(build, "COMPILERS", ())
    monkeypatch.delenv("CXX", raising=False)
    assert describe_machine()["compiler"] == "none"
