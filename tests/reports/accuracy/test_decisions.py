"""Where outliers lie, and the experiments behind the decisions on the paper's open points."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from fineq.common.errors import FineqError
from fineq.evaluation.evaluate import evaluate
from fineq.evaluation.perplexity import Text
from fineq.huggingface.loading import load_model
from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.recipes import RECIPES, Recipe
from fineq.quantizer.vectorised import quantize
from fineq_reports.accuracy import weights
from fineq_reports.accuracy.cells import Plan
from fineq_reports.accuracy.cluster_size import ClusterSize
from fineq_reports.accuracy.decisions import (
    cluster_method,
    cluster_variants,
    code_shares,
    decisions,
    rule_statistics,
    switch_variants,
    threshold_variants,
)
from fineq_reports.accuracy.tables import number
from fineq_reports.accuracy.weights import concentration, outliers, representative_layer

TEXT = Text("text.txt", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 12, 1, "as it is")
ROOT = Path(__file__).parents[3]


def test_outliers_and_where_they_lie():
    weight = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    weight[:, 7] *= 20
    marked = outliers(weight)
    assert marked[:, 7].sum() > 20 and marked.sum() < 60
    assert concentration(marked, 1) > 0.95 and concentration(marked, 0) < 0.5
    assert concentration(torch.ones(10, 10), 0) == pytest.approx(0.1)


def test_representative_layer_is_the_last_of_the_middle_block(model):
    assert representative_layer(load_model(model)) == "model.layers.1.mlp.down_proj"


def test_representative_layer_of_a_model_with_numbers_in_the_path_of_its_blocks(monkeypatch):
    """The path of the blocks is asked for, not read from the names of layers."""
    names = [f"towers.0.blocks.{block}.{layer}" for block in "0123" for layer in ("up", "experts.0", "experts.1")]
    blocks = nn.ModuleList(nn.Identity() for _ in range(4))
    monkeypatch.setattr(weights, "decoder_blocks", lambda model: ("towers.0.blocks", blocks))
    monkeypatch.setattr(weights, "block_linears", lambda model: names)
    assert representative_layer(None) == "towers.0.blocks.2.experts.1"


def test_variants_are_called_as_in_the_published_tables():
    lines = (ROOT / "docs/results/accuracy-decisions.md").read_text().splitlines()
    start = lines.index("## Switches, threshold 4")
    end = lines.index("## What the rule says about the weights")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines[start:end] if line.startswith("| ")]
    variants = switch_variants() + threshold_variants() + cluster_variants()
    assert [variant.label for variant in variants] == [row for row in rows if row not in ("variant", "---")]
    assert len({variant.method.name for variant in variants}) == len(variants)


@pytest.mark.parametrize("search", [False, True])
def test_clusters_of_three_are_the_quantizers(search):
    torch.manual_seed(0)
    weight = torch.distributions.StudentT(4.0).sample((16, 71))
    ours, bits = ClusterSize(3, search)(weight)
    packed = quantize(weight, "mse" if search else "paper")
    # 71 columns leave no cluster without neighbour: 24 clusters, 12 pairs
    error = lambda q: (weight - q).double().square().sum().item()  # noqa: E731
    assert math.isclose(error(ours), error(packed.dequantize()), rel_tol=1e-4)
    assert (ours - packed.dequantize()).abs().gt(1e-5).sum() <= (16 if search else 0)
    assert bits == (7 / 3 * 72 + 32) / 71


@pytest.mark.parametrize(
    "size, kept, bits", [(2, 1, 2.5), (3, 2, 2 + 1 / 3), (4, 2, 2.375), (5, 3, 2.4), (6, 4, 2 + 1 / 3)]
)
def test_cluster_sizes_keep_what_their_bits_pay_for(size, kept, bits):
    experiment = ClusterSize(size)
    assert (experiment.kept, experiment.bits) == (kept, pytest.approx(bits))
    weight = torch.randn(8, 12 * size, generator=torch.Generator().manual_seed(size))
    result, _ = experiment(weight)
    scale = weight.abs().amax(dim=1, keepdim=True) / 3
    clusters = (result / scale).round().view(8, -1, 2, size)
    for cluster in clusters.flatten(0, 2):
        assert cluster.abs().max() <= 1 or (cluster != 0).sum() <= kept
    for first, second in clusters.flatten(0, 1):
        if first.abs().max() > 1 and second.abs().max() > 1:  # one code for both
            assert ((first != 0) | (second != 0)).sum() <= kept
    with pytest.raises(FineqError, match="cluster size is 7: it must lie between 2 and 6"):
        ClusterSize(7)


def test_rule_statistics_count_clusters_and_pairs(model):
    loaded = load_model(model)
    for name in block_linears(loaded):
        get_weight(loaded, name)[:] = torch.tensor([1.0, 1, 1, 9, 1, 1]).repeat(14)[: get_weight(loaded, name).shape[1]]
    flagged, differing = rule_statistics(loaded, Recipe())
    assert flagged == pytest.approx(0.5, abs=0.02) and differing == 1.0
    assert rule_statistics(loaded, Recipe(threshold=9.0))[0] == 0


def test_code_shares_count_pairs(model):
    loaded = load_model(model)
    counts = [0, 0, 0, 0]
    for name in block_linears(loaded):  # per row: one pair for each code that zeroes, then pairs of small weights
        weight = get_weight(loaded, name)
        weight[:] = 1
        weight[:, :18] = torch.tensor([0.0, 3, 3, 0, 3, 3, 3, 0, 3, 3, 0, 3, 3, 3, 0, 3, 3, 0])
        rows, columns = weight.shape
        # A last cluster of its own, filled up with a zero, passes the rule and drops that zero.
        lone = rows * (-(-columns // 3) % 2 == 1 and columns % 3 != 0)
        for code, count in enumerate((rows * (-(-columns // 6) - 3) - lone, rows, rows, rows + lone)):
            counts[code] += count
    assert code_shares(loaded, RECIPES["mse"]) == pytest.approx([count / sum(counts) for count in counts])


def test_decisions(model, tmp_path, monkeypatch):
    monkeypatch.setattr("fineq_reports.accuracy.decisions.switch_variants", lambda: switch_variants()[::7])
    monkeypatch.setattr("fineq_reports.accuracy.decisions.THRESHOLDS", (2.0, 4.0))
    monkeypatch.setattr("fineq_reports.accuracy.decisions.CLUSTER_SIZES", (3,))
    report = decisions(Plan([model], [], [TEXT], cache=tmp_path, max_windows=2))
    titles = [section.title.split(",")[0].split(" (")[0] for section in report.sections]
    rules = ["What the rule says about the weights", "Pairs whose weights all have 2 bits"]
    assert titles == ["Not quantized", "Switches", "Threshold", "Cluster size", *rules]
    expected = evaluate(model, TEXT, cluster_method(ClusterSize(3)), max_windows=2).to_json()["result"]["perplexity"]
    assert report.sections[3].rows[0] == ["3, paper", "2.333", report.sections[3].rows[0][2], number(expected)]
    variants = [row[0] for section in report.sections[1:3] for row in section.rows]
    assert len(set(variants)) == len(variants)
