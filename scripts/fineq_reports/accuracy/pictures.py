"""Pictures of the accuracy tables: what `perplexities` has measured, or what was read from its CSV files again."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fineq_reports.accuracy.perplexities import FIGURE_METHODS, Results, paper_figures
from fineq_reports.plotting import WIDTH, plain_logarithmic

MARKERS = "os^Dv"
"""Of models or lengths in one picture, so that they differ without colour too."""


def _dots(axes: Any, results: Results, methods: list[str], dots: dict[str, dict[str, float]]) -> None:
    """A line for each method, with a dot for the ratio of each model or length that has one."""
    for (label, ratios), marker in zip(dots.items(), MARKERS, strict=False):
        places = [number_ for number_, method in enumerate(methods) if method in ratios]
        axes.plot([ratios[methods[place]] for place in places], places, marker, ls="", ms=6, alpha=0.85, label=label)
    titles = [results.find(results.models[0], method, results.texts[0], None).method.title for method in methods]
    axes.set(xscale="log", yticks=range(len(methods)), yticklabels=[_short(title) for title in titles])
    axes.invert_yaxis()


def _short(title: str) -> str:
    """A title in lines, so that it leaves room for the dots on a narrow screen."""
    return "\n".join(textwrap.wrap(title, 24))


def paper_column(text_sha256: str, size: str = "7B") -> str | None:
    """The column of the paper's Table I that is on a text, known by its contents; None: it has none."""
    for name, known in paper_figures()["texts"].items():
        if text_sha256 in known:
            return f"{size} {name}"
    return None


def draw_table_1(figure: Figure, results: Results) -> None:
    """Ratios of all methods, a panel for each text; the paper's where it has measured that text."""
    methods = [method for method in results.methods if method != "none"]
    figure.set_size_inches(WIDTH, 1.0 + (0.7 + 0.4 * len(methods)) * len(results.texts))
    figures = paper_figures()["table_1"]
    for place, (text, axes) in enumerate(zip(results.texts, _column(figure, len(results.texts)), strict=True)):
        dots = {
            model: {method: results.ratio(results.find(model, method, text)) for method in methods}
            for model in results.models
        }
        _dots(axes, results, methods, dots)
        column = paper_column(results.find(results.models[0], "none", text).record["text_sha256"])
        if column:
            number_ = figures["columns"].index(column)
            known = [(n, figures[m][number_] / figures["none"][number_]) for n, m in enumerate(methods) if m in figures]
            axes.plot([ratio for _, ratio in known], [n for n, _ in known], "x", color="black", ms=6)
        axes.set_title(text)
        plain_logarithmic(axes.xaxis, (1,))
        if place == 0:
            handles, labels = axes.get_legend_handles_labels()
    handles.append(Line2D([], [], ls="", marker="x", color="black"))
    labels.append("the paper's, LLaMA-2 7B on this text")
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    axes.set_xlabel("perplexity / perplexity of the model that is not quantized")


def _column(figure: Figure, count: int) -> list[Any]:
    return list(figure.subplots(count, 1, squeeze=False)[:, 0])


def draw_table_2(figure: Figure, results: Results) -> None:
    """Ratios of all methods on the first text, a panel for each model, a dot for each length of windows."""
    methods = [method for method in results.methods if method != "none"]
    figure.set_size_inches(WIDTH, 1.0 + (0.7 + 0.4 * len(methods)) * len(results.models))
    text = results.texts[0]
    for model, axes in zip(results.models, _column(figure, len(results.models)), strict=True):
        mine = [cell for cell in results.cells if (cell.model, cell.text) == (model, text)]
        dots = {
            f"windows of {length} tokens": {
                cell.method.name: results.ratio(cell) for cell in mine if cell.sequence_length == length
            }
            for length in dict.fromkeys(cell.sequence_length for cell in mine)
        }
        _dots(axes, results, methods, dots)
        axes.set_title(f"{model}, {text}")
        plain_logarithmic(axes.xaxis)
        axes.legend(loc="upper right")
    axes.set_xlabel("perplexity / perplexity of the model that is not quantized")


def draw_figure_1(figure: Figure, results: Results) -> None:
    """Perplexity by bits, a panel for each model; methods with several widths as lines."""
    text = results.texts[0]
    families = {
        family: kept
        for family, members in FIGURE_METHODS.items()
        if (kept := [m for m in members if m in results.methods])
    }
    figure.set_size_inches(WIDTH, 1 + 3.4 * len(results.models))
    for model, axes in zip(results.models, _column(figure, len(results.models)), strict=True):
        lines = {family: members for family, members in families.items() if len(members) > 1}
        for (family, members), marker in zip(families.items(), "os^D*Xp", strict=False):
            cells = [results.find(model, method, text) for method in members]
            bits, values = [cell.method.nominal_bits for cell in cells], [cell.perplexity for cell in cells]
            style, size = (f"{marker}-", 5) if family in lines else (marker, 10)
            axes.plot(bits, values, style, ms=size, label=family)
        axes.axhline(results.find(model, "none", text).perplexity, color="black", lw=0.8, label="not quantized")
        axes.set(yscale="log", ylabel="perplexity", title=f"{model}, {text}")
        values = [results.find(model, method, text).perplexity for method in results.methods]
        plain_logarithmic(axes.yaxis, (1, 2, 5) if max(values) > 10 * min(values) else (1, 1.5, 2, 2.5, 3, 4, 5, 7))
        axes.legend()
    axes.set_xlabel("bits per weight, scales and padding not counted")
