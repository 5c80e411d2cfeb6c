"""The points that the paper leaves open, measured: every switch of the recipes, and the size of a cluster."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from fineq.common.progress import Progress
from fineq.evaluation.method import Method
from fineq.evaluation.recipe_methods import recipe_method
from fineq.format import CLUSTER_WEIGHTS, INDEX_CODES, PAIR_WEIGHTS
from fineq.huggingface.loading import load_model
from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.pairs import own_codes, split_clusters
from fineq.quantizer.recipes import CHOICES, RECIPES, Recipe
from fineq.quantizer.vectorised import quantize
from fineq_reports.accuracy.cells import Plan, measure_cells
from fineq_reports.accuracy.cluster_size import ClusterSize
from fineq_reports.accuracy.perplexities import Results, protocol_notes
from fineq_reports.accuracy.tables import Report, Section, cell_records, number

THRESHOLDS = (2.0, 3.0, 4.0, 5.0, 6.0)
CLUSTER_SIZES = (2, 3, 4, 5, 6)
SCALES = ("absmax", "mse")
"""Of the scales, those that are crossed with the other switches; `mse-clipped` is varied once."""
NAMED_SWITCHES = ("threshold", "loss")
"""Switches whose values do not tell what they are values of."""


class Variant(NamedTuple):
    """A method and what a row of a table calls it."""

    label: str
    method: Method


def cluster_method(experiment: ClusterSize) -> Method:
    """The experiment of `fineq_reports.accuracy.cluster_size` as a method."""
    name = f"cluster-size-{experiment.size}-{experiment.recipe}"
    return Method(name, experiment.title, experiment.bits, quantize=experiment)


def cluster_variants() -> list[Variant]:
    """All sizes of a cluster, with both recipes."""
    experiments = [ClusterSize(size, search) for search in (False, True) for size in CLUSTER_SIZES]
    return [Variant(f"{each.size}, {each.recipe}", cluster_method(each)) for each in experiments]


def recipe_variant(base: str, **options: Any) -> Variant:
    """A recipe with some switches changed, called by their values: `column, mse` for axis and scale."""
    changed = [field.name for field in fields(Recipe) if field.name in options]
    words = [f"{switch} {options[switch]}" if switch in NAMED_SWITCHES else options[switch] for switch in changed]
    shown = [base, *words] if base != "paper" or len(words) < 2 else words
    return Variant(", ".join(shown), recipe_method(RECIPES[base].with_options(**options)))


def switch_variants() -> list[Variant]:
    """All combinations of the switches that are words, at the paper's threshold; then those that are varied once."""
    crossed = {"axis": CHOICES["axis"], "scale": SCALES, "pairs": CHOICES["pairs"], "comparison": CHOICES["comparison"]}
    variants = [
        recipe_variant("paper", **dict(zip(crossed, values, strict=True))) for values in product(*crossed.values())
    ]
    once = [recipe_variant(base, loss="absolute") for base in ("paper", "mse")]
    return [*variants, *once, Variant("mse-clipped", recipe_method(RECIPES["mse-clipped"]))]


def threshold_variants() -> list[Variant]:
    """Thresholds 2 to 6, with the absmax and with the searched scale."""
    return [recipe_variant("paper", threshold=threshold, scale=scale) for scale in SCALES for threshold in THRESHOLDS]


def rule_statistics(model: PreTrainedModel, recipe: Recipe) -> tuple[float, float]:
    """Share of clusters that the rule calls outliers, and share of pairs whose clusters choose different codes.

    Over all block linears; padding of a row to whole pairs is left out.
    """
    flagged = clusters = differing = pairs = 0
    for name in block_linears(model):
        weight = get_weight(model, name).float()
        weight = weight if recipe.axis == "row" else weight.T
        length = weight.shape[1]
        own = own_codes(split_clusters(weight), recipe)
        in_order = own.permute(1, 2, 0).flatten(1)[:, : length // CLUSTER_WEIGHTS]
        flagged += int((in_order != 0).sum())
        clusters += in_order.numel()
        whole = own[:, :, : length // PAIR_WEIGHTS]
        differing += int((whole[0] != whole[1]).sum())
        pairs += whole[0].numel()
    return flagged / max(1, clusters), differing / max(1, pairs)


def code_shares(model: PreTrainedModel, recipe: Recipe) -> list[float]:
    """Share of the pairs that get each of the four codes, over all block linears."""
    counts = torch.zeros(INDEX_CODES, dtype=torch.int64)
    for name in block_linears(model):
        index = quantize(get_weight(model, name), recipe, name=name).index()
        counts += torch.bincount(index.flatten().to(torch.int64), minlength=INDEX_CODES)
    return (counts / counts.sum()).tolist()


def decisions(plan: Plan, progress: Progress | None = None) -> Report:
    """The grid on each model of the plan, on its first text; the methods of the plan are ignored."""
    # By title: whether the rows state their bits, and the variants.
    groups = {
        "Switches, threshold 4": (False, switch_variants()),
        "Threshold, pairs by the text": (False, threshold_variants()),
        "Cluster size (an experiment; the format has 3)": (True, cluster_variants()),
    }
    methods = list({each.method.name: each.method for _, variants in groups.values() for each in variants}.values())
    results = Results(measure_cells(replace(plan, methods=["none", *methods]), progress))
    models = {Path(path).resolve().name: load_model(path) for path in plan.models}
    sections = [_full_precision(results)]
    text = results.texts[0]
    for title, (with_bits, variants) in groups.items():
        header = ["variant", *(("bits",) if with_bits else ())]
        for model in models:
            header += [f"{model}, error", "perplexity"]
        rows = []
        for label, method in variants:
            row = [label, *((f"{method.nominal_bits:.3f}",) if with_bits else ())]
            for model in models:
                cell = results.find(model, method.name, text)
                row += [number(cell.record["normalised_error"], 3), number(cell.perplexity)]
            rows.append(row)
        sections.append(Section(title, header, rows))
    sections += [_rule_section(models), _code_section(models)]
    return Report(
        "accuracy-decisions", "The open points of the paper, measured", sections, protocol_notes(results, plan),
        cell_records(results.cells),
    )  # fmt: skip


def _full_precision(results: Results) -> Section:
    cells = [results.find(model, "none", results.texts[0]) for model in results.models]
    return Section("Not quantized", ["model", "perplexity"], [[cell.model, number(cell.perplexity)] for cell in cells])


def _rule_section(models: dict[str, PreTrainedModel]) -> Section:
    recipes = [Recipe(axis=axis, comparison=comparison, threshold=threshold)
               for axis in CHOICES["axis"] for comparison in CHOICES["comparison"]
               for threshold in (THRESHOLDS if comparison == "absolute" else (4.0,))]  # fmt: skip
    rows = []
    with torch.no_grad():
        for recipe in recipes:
            row = [f"{recipe.axis}, {recipe.comparison}, {recipe.threshold:g}"]
            for model in models.values():
                row += [f"{100 * share:.1f}%" for share in rule_statistics(model, recipe)]
            rows.append(row)
    header = ["axis, comparison, threshold"]
    for name in models:
        header += [f"{name}, clusters with outliers", "pairs that disagree"]
    return Section("What the rule says about the weights", header, rows)


def _code_section(models: dict[str, PreTrainedModel]) -> Section:
    rows = []
    for name in ("paper", "paper-argmin", "paper-mse", "mse"):
        shares = [f"{100 * code_shares(model, RECIPES[name])[0]:.1f}%" for model in models.values()]
        rows.append([name, *shares])
    return Section("Pairs whose weights all have 2 bits, by recipe", ["recipe", *models], rows)
