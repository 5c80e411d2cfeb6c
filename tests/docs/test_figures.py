"""Figures that a page takes from a report are those of the report."""

import csv
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.documents.document_pages import PAGES, ROOT

CITED = re.compile(r"\[([\d.]+)\]\(([\w./-]+\.json)\)")
LOST = re.compile(r"\[[\d.]+\]\(([\w./-]+\.json)\) \| ([\d.]+) \| ([\d.]+) ")
"""A cited perplexity, then its ratio to full precision and the nats lost."""


def result(file: Path) -> dict[str, float]:
    return json.loads(file.read_text(encoding="utf-8"))["results"][0]["result"]


def rounds_to(value: float, said: str) -> bool:
    """Whether a number, rounded to as many decimals as are said, is what is said; a half may go either way."""
    return abs(value - float(said)) <= 0.5000001 * 10.0 ** -len(said.partition(".")[2])


def wrong_figures(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    for said, link in CITED.findall(text):
        if not rounds_to(result(page.parent / link)["perplexity"], said):
            yield f"{said} of {link}"
    for link, ratio, nats in LOST.findall(text):
        file = page.parent / link
        full = "smollm2-135m-full-c4.json" if "-c4" in file.name else "smollm2-135m-full.json"
        lost = result(file)["nll"] - result(file.with_name(full))["nll"]
        if not (rounds_to(math.exp(lost), ratio) and rounds_to(lost, nats)):
            yield f"{ratio} and {nats} of {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_cited_perplexities_are_those_of_the_report(page):
    assert list(wrong_figures(page)) == []


def test_a_wrong_figure_is_noticed(tmp_path):
    for name, nll in (("smollm2-135m-full", 3.0), ("smollm2-135m-mse", 4.0)):
        report = {"results": [{"result": {"nll": nll, "perplexity": math.exp(nll)}}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(report))
    page = tmp_path / "page.md"
    page.write_text("| [20.1](smollm2-135m-full.json) | 1 | 0 |\n| [54.7](smollm2-135m-mse.json) | 2.72 | 1.00 |\n")
    assert list(wrong_figures(page)) == ["54.7 of smollm2-135m-mse.json"]
    page.write_text("| [54.6](smollm2-135m-mse.json) | 2.72 | 1.01 |\n")
    assert list(wrong_figures(page)) == ["2.72 and 1.01 of smollm2-135m-mse.json"]


def test_the_readme_counts_the_model_types_as_their_report_does():
    report = (ROOT / "docs/results/model-types.md").read_text(encoding="utf-8")
    counts = dict(re.findall(r"^\| (works|refused|not tried|wrong) \| (\d+) \|$", report, re.MULTILINE))
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    total = sum(map(int, counts.values()))
    assert f"{counts['works']} of the {total}" in readme
    assert f"{counts['refused']} are refused" in readme and counts["wrong"] == "0"


LOSSES = {
    "RTN": "rtn", "GPTQ": "gptq", "GPTQ, best": "gptq-best", "PB-LLM": "pb-llm", "OWQ": "owq",
    "FineQ, `paper`": "paper", "FineQ, `mse`": "mse", "FineQ, `calibrated`": "calibrated",
}  # fmt: skip
"""Rows of the summary on the page of baselines, and their methods."""


def test_the_summary_of_the_baselines_is_that_of_their_table():
    with (ROOT / "docs/results/accuracy-table-1.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["text"] == "evaluation_text.txt"]
    nll = {(row["model"], row["method"]): float(row["nll"]) for row in rows}
    page = (ROOT / "docs/quantizer/baselines.md").read_text(encoding="utf-8")
    for title, method in LOSSES.items():
        said = re.search(rf"^\| {re.escape(title)} \|.* \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.MULTILINE)
        assert said, title
        for model, figure in zip(("storyteller", "stories260k", "tinystories-656k"), said.groups(), strict=True):
            assert rounds_to(nll[model, method] - nll[model, "none"], figure), (title, model, figure)
