"""Products beside torch: what is measured, what the page says, and which goals count."""

import os
from pathlib import Path

import pytest
import torch
from helpers.documents.bench_reports import read_tables

from fineq.common.errors import FineqError
from fineq.common.provenance import unmarked
from fineq.kernels.integer import usable_paths
from fineq_reports.bench import goals, model_speed, product_page, products
from fineq_reports.bench.ggml import LIBRARIES, Ggml
from fineq_reports.bench.products import ProductReport, run_product_bench
from fineq_reports.bench.records import BenchTable, Row

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def row(case: str, cpu_ratio: float) -> Row:
    return Row(case, 1.0, 0.5, cpu_ratio, (1.0, 1.0), cpu_ratio, 16.0, None)


def test_every_case_is_measured():
    report = run_product_bench(1, 1, None, ((30, 50), (20, 70)), with_model=False, backend="eager")
    titles = [table.title for table in report.tables]
    assert titles[: len(products.TOKENS)] == [f"30 x 50, {products.count(tokens)}" for tokens in products.TOKENS]
    cases = {table.title: [row.case for row in table.rows] for table in report.tables}
    assert cases["20 x 70, 8 tokens"] == ["torch float32", "torch bfloat16", "packed, float activations", goals.INT8]
    assert cases["Paths of the int8 product, 30 x 50, 1 token"] == [f"path {path}" for path in usable_paths()]
    assert {goal.table for goal in report.goals} == {
        f"{shape}, {tokens}" for shape in ("30 x 50", "20 x 70") for tokens in ("1 token", "32 tokens", "128 tokens")
    }
    page = product_page.as_markdown(report)
    assert all(f"## {title}\n" in page for title in titles) and "ggml is not measured" in page


def test_a_whole_model(monkeypatch):
    small = model_speed.SMOLLM2_135M | {"num_hidden_layers": 1, "vocab_size": 64}
    monkeypatch.setattr(model_speed, "SMOLLM2_135M", small)
    tables = model_speed.model_tables(1)
    assert [table.title for table in tables] == [
        "SmolLM2-135M's shapes, decoding after 128 tokens",
        "SmolLM2-135M's shapes, reading 128 tokens",
    ]
    assert all(len(table.rows) == 6 and table.baseline == "bfloat16" for table in tables)
    assert len(goals.judge(tables)) == 2
    assert "Tokens per CPU second" in product_page.as_markdown(ProductReport({}, {"rounds": 1, "threads": 1}, tables))


def test_goals_are_ratios_of_cpu_time_within_a_table():
    tables = [
        BenchTable("64 x 64, 1 token", "torch float32", [row("torch float32", 1.0), row(goals.INT8, 0.21)]),
        BenchTable("64 x 64, 32 tokens", "torch float32", [row("torch bfloat16", 0.5), row(goals.INT8, 0.5)]),
        BenchTable("64 x 64, 4 tokens", "torch float32", [row("torch float32", 1.0), row(goals.INT8, 9.0)]),
        BenchTable(
            "M, decoding after 1", "bfloat16", [row("bfloat16", 1), row("packed blocks, int8 activations", 0.4)]
        ),
    ]
    found = goals.judge(tables)
    assert [(goal.other, goal.measured, goal.verdict) for goal in found] == [
        ("torch float32", 0.21, "missed"),
        ("torch bfloat16", 1.0, "met"),
        ("bfloat16", 0.4, "met"),
    ]
    page = product_page.as_markdown(ProductReport({}, {"rounds": 1, "threads": 1}, tables, goals=found))
    assert "| 64 x 64, 1 token | packed, int8 activations | torch float32 | 0.20 | 0.21 | missed |" in page


def test_the_published_page_is_that_of_the_published_figures():
    content, tables = read_tables(RESULTS / "bench-products.json")
    report = ProductReport(content["machine"], content["settings"], tables, [], content["notes"])
    report.goals.extend(goals.judge(tables))
    assert content["goals"] == [vars(goal) for goal in report.goals]
    assert product_page.as_markdown(report) == unmarked((RESULTS / "bench-products.md").read_text())


def test_ggml_that_is_not_there(tmp_path):
    with pytest.raises(FineqError, match=f"has no {LIBRARIES[0]}: give the folder that scripts/build_ggml.py names"):
        Ggml(tmp_path)
    for name in LIBRARIES:
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(FineqError, match="cannot be loaded"):
        Ggml(tmp_path)


@pytest.mark.skipif(not os.environ.get("FINEQ_GGML"), reason="FINEQ_GGML does not name ggml's libraries")
@pytest.mark.parametrize("name, error", [("q2_K", 0.35), ("tq2_0", 0.03)])
def test_ggml_multiplies(name, error):
    """Ternary weights, which TQ2_0 holds exactly."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-1, 2, (30, 512), generator=generator).float()
    x = torch.randn(5, 512, generator=generator)
    ggml = Ggml(Path(os.environ["FINEQ_GGML"]))
    run = ggml.product(ggml.quantize(weight, name), x, name, 1)
    expected = x @ weight.T
    assert (run() - expected).norm() / expected.norm() < error
