"""Fig. 3(b) of the paper: the weights of a layer with its outliers, and accuracy by uniform bit width."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import PreTrainedModel

from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.huggingface.loading import load_model
from fineq.models.blocks import decoder_blocks
from fineq.models.language_model import block_linears, get_weight
from fineq_reports.accuracy.cells import Plan, measure_cells
from fineq_reports.accuracy.perplexities import RATIO, Results, protocol_notes
from fineq_reports.accuracy.tables import Report, Section, cell_records, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNIFORM_METHODS = ("none", "uniform", *(f"uniform-{bits}bit" for bits in (3, 4, 5, 6, 8, 12, 16)))
"""Equation 1 at 2 to 16 bits."""

OUTLIER_DEVIATIONS = 3.0
"""An outlier is further from the mean than that many standard deviations; the paper names no bound."""

TOP_CHANNELS = 0.1
"""Share of the channels whose share of the outliers is reported."""


def outliers(weight: Tensor) -> Tensor:
    """Which weights are outliers, bool of the same shape."""
    weight = weight.double()
    return (weight - weight.mean()).abs() > OUTLIER_DEVIATIONS * weight.std()


def concentration(is_outlier: Tensor, dim: int) -> float:
    """Share of the outliers in the tenth of the rows (dim 0) or columns (dim 1) that hold the most.

    0.1 for outliers spread evenly; chance alone gives more on small layers.
    """
    counts = is_outlier.sum(dim=1 - dim).sort(descending=True).values
    kept = max(1, round(TOP_CHANNELS * len(counts)))
    return (counts[:kept].sum() / counts.sum().clamp(min=1)).item()


def by_chance(is_outlier: Tensor, dim: int) -> float:
    """`concentration` of as many outliers thrown at random places, mean of ten throws."""
    generator = torch.Generator().manual_seed(0)
    flat = is_outlier.flatten()
    throws = [flat[torch.randperm(len(flat), generator=generator)].view_as(is_outlier) for _ in range(10)]
    return sum(concentration(throw, dim) for throw in throws) / len(throws)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def representative_layer(model: PreTrainedModel) -> str:
    """The last linear of the middle block, the one that holds the middle one of all linears."""
    prefix, blocks = decoder_blocks(model)
    names = block_linears(model)
    layers = [[name for name in names if name.startswith(f"{prefix}.{block}.")] for block, _ in blocks.named_children()]
    return next(inside[-1] for inside in layers if names[len(names) // 2] in inside)


def figure_3b(plan: Plan, layer: str | None = None, progress: Progress | None = None) -> Report:
    """Histogram of a layer's weights with outliers marked, perplexity at uniform widths, and where outliers lie.

    Args:
        layer: as in `block_linears`; None: the last linear of the middle block of each model.
    """
    results = Results(measure_cells(plan, progress))
    shown: dict[str, Tensor] = {}
    statistics = []
    for path in plan.models:
        model, name = load_model(path), Path(path).resolve().name
        names = block_linears(model)
        chosen = representative_layer(model) if layer is None else layer
        if chosen not in names:
            raise FineqError(f"{name} has no layer {chosen!r}: choose one such as {representative_layer(model)}")
        shown[f"{name}, {chosen}"] = get_weight(model, chosen).float().clone()
        marks = [outliers(get_weight(model, each)) for each in names]
        share = sum(mark.sum().item() for mark in marks) / sum(mark.numel() for mark in marks)
        places = [_mean([of(mark, dim) for mark in marks]) for dim in (0, 1) for of in (concentration, by_chance)]
        statistics.append([name, str(len(names)), *(f"{100 * value:.2f}%" for value in (share, *places))])
    text = results.texts[0]
    rows = []
    for method in results.methods:
        cells = [results.find(model, method, text) for model in results.models]
        values = [value for cell in cells for value in (number(cell.perplexity), number(results.ratio(cell), 3))]
        rows.append([cells[0].method.title, *values])
    header = ["method", *(f"{model}{what}" for model in results.models for what in ("", f", {RATIO}"))]
    where = ["model", "layers", "outliers"]
    where += [head for channels in ("rows", "columns") for head in (f"in the top 10% of {channels}", "by chance")]

    def draw(figure: Figure) -> None:
        from fineq_reports.plotting import PALETTE, WIDTH, plain_logarithmic

        figure.set_size_inches(WIDTH + 0.7, 0.6 + 2.4 * len(shown))
        grid = figure.subplots(len(shown), 2, squeeze=False)
        for (title, weight), model, (left, right) in zip(shown.items(), results.models, grid, strict=True):
            marked = outliers(weight)
            bins = torch.linspace(weight.min().item(), weight.max().item(), 81).tolist()
            left.hist(weight[~marked].tolist(), bins, color=PALETTE[0], label="others")
            left.hist(weight[marked].tolist(), bins, color=PALETTE[3], label=f"beyond {OUTLIER_DEVIATIONS:g} sigma")
            left.set(yscale="log", title=title, xlabel="weight", ylabel="count")
            left.legend()
            cells = [results.find(model, method, text) for method in results.methods if method != "none"]
            right.plot([cell.method.nominal_bits for cell in cells], [results.ratio(cell) for cell in cells], "o-")
            right.set(yscale="log", title=f"uniform quantization, {text}", xlabel="bits", ylabel="perplexity ratio")
            plain_logarithmic(right.yaxis, (1,))

    return Report(
        "accuracy-figure-3b", "Weights, outliers and uniform bit width (the paper's Fig. 3(b))",
        [Section(f"Perplexity with uniform quantization per row, {text}", header, rows),
         Section(f"Outliers beyond {OUTLIER_DEVIATIONS:g} standard deviations, and where they lie", where, statistics)],
        protocol_notes(results, plan), cell_records(results.cells), draw,
    )  # fmt: skip
