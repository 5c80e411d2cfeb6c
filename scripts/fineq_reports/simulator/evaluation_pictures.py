"""Pictures of the paper's evaluation: Fig. 8 and Fig. 9, the paper's beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from fineq_reports.plotting import PALETTE, WIDTH, png_bytes, styled
from fineq_reports.simulator.evaluation import BARS, PAPER_EFFICIENCY, PAPER_SHARES, Point

INK, PAPER = "#1c2733", PALETTE[3]


def figure_8(plain: Mapping[str, float], full: Mapping[str, float]) -> bytes:
    """Shares of the array's power, the paper's beside ours.

    Args:
        plain, full: share by block without and with glitches.
    """
    bars = {"paper": PAPER_SHARES, "ours": plain, "ours, with\nglitches": full}
    blocks = sorted(plain, key=lambda block: -plain[block])
    with styled():
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.grid(axis="y", visible=False)
        for number, shares in enumerate(bars.values()):
            left = 0.0
            for block, colour in zip(blocks, PALETTE, strict=False):
                share = shares.get(block, 0.0)
                label = block if number == 1 else None
                axes.barh(number, share, left=left, height=0.6, color=colour, edgecolor="white", lw=0.4, label=label)
                if share > 0.08:
                    axes.text(left + share / 2, number, f"{share:.1%}", ha="center", va="center", color="white")
                left += share
        axes.set_yticks(range(len(bars)), list(bars))
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the array's power")
        figure.legend(loc="outside lower center", ncols=2)
        return png_bytes(figure)


def figure_9(points: Sequence[Point]) -> bytes:
    """Four bars for each model and length, a chart for each pair of machines, the ends of a range as whiskers."""
    pairs = list(dict.fromkeys((each.ours, each.rival) for each in points))
    with styled():
        figure = Figure(figsize=(WIDTH, 0.8 + 2.1 * len(pairs)), layout="constrained")
        for axes, pair in zip(figure.subplots(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True):
            _gains(axes, [each for each in points if (each.ours, each.rival) == pair])
            axes.set_title(" over ".join(pair))
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        figure.supylabel("MACs per energy, ours over the rival's", fontsize=9)
        return png_bytes(figure)


def _gains(axes: Any, points: Sequence[Point]) -> None:
    """The bars of one pair of machines."""
    places = list(dict.fromkeys((each.model, each.sequence) for each in points))
    colours = [matplotlib.colormaps["Blues"](shade) for shade in (0.95, 0.75, 0.55, 0.35)]
    for number, place in enumerate(places):
        ends = [each for each in points if (each.model, each.sequence) == place]
        for bar, colour in enumerate(colours):
            low, high = min(p.gains[bar] for p in ends), max(p.gains[bar] for p in ends)
            x = number + (bar - 1.5) * 0.21
            axes.bar(x, (low + high) / 2, 0.2, color=colour, label=None if number else BARS[bar])
            if high > low:
                axes.plot([x, x], [low, high], color=INK, lw=0.9)
    axes.axhline(1, color=INK, lw=0.8)
    axes.axhline(PAPER_EFFICIENCY, color=PAPER, lw=1.1, ls="--", label=f"paper, {PAPER_EFFICIENCY}")
    axes.set_xticks(range(len(places)), [_place(places, number) for number in range(len(places))], fontsize=8)
    axes.grid(axis="x", visible=False)


def _place(places: Sequence[tuple[str, int]], number: int) -> str:
    """Tokens of the prompt; under the second of a model's lengths its name."""
    model, sequence = places[number]
    mine = [index for index, place in enumerate(places) if place[0] == model]
    return f"{sequence}\n{model if number == mine[(len(mine) - 1) // 2] else ''}"
