"""The picture of accuracy against cycles: a panel for each set of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fineq.format.temporal import ENCODINGS
from fineq_reports.accuracy.cycle_counts import CYCLE_RECIPES, Point, aware_encodings
from fineq_reports.plotting import PALETTE, WIDTH, plain_logarithmic

MARKERS = {
    "paper": "X", "paper-argmin": "P", "mse": "D", "calibrated": "*", "calibrated-2": "^", "calibrated-1": "v",
}  # fmt: skip
COLOURS = dict(zip(ENCODINGS, PALETTE, strict=False))
SIZES = {encoding: 10.0 - 1.5 * place for place, encoding in enumerate(ENCODINGS)}
"""Of the hollow markers: where several encodings take the same cycles, they stand inside one another."""
LINES = dict(zip(CYCLE_RECIPES, (":", "-"), strict=False))
_COLUMNS = 2
WIDE, NARROW = (1, 1.5, 2, 3, 5, 7), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.6, 3, 3.4, 4, 5, 7)
"""Ticks of a panel by what it spans."""


def draw(figure: Figure, points: Sequence[Point]) -> None:
    """Perplexity of models, normalised squared error of rows, against the cycles of each encoding."""
    data = list(dict.fromkeys(point.data for point in points))
    rows = -(-len(data) // _COLUMNS)
    figure.set_size_inches(WIDTH, 1.4 + 2.2 * rows)
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
    for axes, name in zip(panels, data, strict=False):
        mine = [point for point in points if point.data == name]
        what = "perplexity" if mine[0].perplexity is not None else "error"
        for encoding in aware_encodings():
            for recipe, style in LINES.items():
                line = [p for p in mine if (p.recipe, p.encoding) == (recipe, encoding)]
                x, y = [p.cycles[encoding] for p in line], [getattr(p, what) for p in line]
                axes.plot(x, y, style, marker=".", ms=4, lw=1.2, color=COLOURS[encoding])
        for encoding, colour in COLOURS.items():
            for p in (p for p in mine if not p.encoding):
                axes.plot(
                    *(p.cycles[encoding], getattr(p, what), MARKERS[p.recipe]),
                    **{"color": colour, "ms": SIZES[encoding], "mfc": "none", "mew": 1.1},
                )
        axes.set(title=name, xlabel="cycles/vector", yscale="log")
        axes.set_ylabel("perplexity" if what == "perplexity" else "normalised squared error")
        axes.set_xlim(0.9, 3.1)
        values = [getattr(point, what) for point in mine]
        plain_logarithmic(axes.yaxis, WIDE if max(values) > 2 * min(values) else NARROW)
    for axes in panels[len(data) :]:
        axes.axis("off")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3)


def _legend() -> list[Any]:
    shown = [Line2D([], [], color=colour, label=encoding, lw=3) for encoding, colour in COLOURS.items()]
    shown += [Line2D([], [], color="#5b6876", ls=style, marker=".", label=recipe) for recipe, style in LINES.items()]
    options: dict[str, Any] = {"color": "#5b6876", "ls": "", "mfc": "none"}
    return shown + [Line2D([], [], marker=marker, label=recipe, **options) for recipe, marker in MARKERS.items()]
