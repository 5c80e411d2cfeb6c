"""The page and pictures of the paper's evaluation."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from fineq.common import markdown
from fineq.common.files import write_bytes, write_text
from fineq_reports.plotting import png_bytes
from fineq_reports.simulator.evaluation import (
    BARS,
    PAPER_EFFICIENCY,
    PAPER_SHARES,
    Evaluation,
    Point,
    power_shares,
    table_iii,
)
from fineq_sim.energy.dram import PUBLISHED
from fineq_sim.energy.model import NOT_MEASURED

NAME = "paper-evaluation"


def write_evaluation(found: Evaluation, command: str, directory: Path) -> list[Path]:
    """Write page, table and pictures."""
    return [
        write_text(directory / f"{NAME}.md", page(found, command)),
        write_text(directory / f"{NAME}-figure-9.csv", points_csv(found.points)),
        write_bytes(directory / f"{NAME}-figure-8.png", figure_8(found)),
        write_bytes(directory / f"{NAME}-figure-9.png", figure_9(found)),
    ]


def points_csv(points: Sequence[Point]) -> str:
    """All bars of Fig. 9."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["ours", "rival", "model", "sequence", "steps", *BARS, "seconds_ours", "seconds_rival", "time_x_area"]
    )
    for each in points:
        numbers = [*each.gains, *each.seconds, each.time_area]
        names = [each.ours, each.rival, each.model, each.sequence, each.steps]
        writer.writerow([*names, *(f"{number:.5g}" for number in numbers)])
    return text.getvalue()


def page(found: Evaluation, command: str) -> str:
    """The page."""
    dram = "; ".join(f"{each.picojoules_per_bit} pJ a bit ({each.source})" for each in PUBLISHED)
    parts = [
        "# The paper's evaluation with this project's machine",
        "",
        f"Made by `{command}` from the synthesis reports beside this page and the [cycle-level simulator]"
        "(../hardware/simulator.md). Figures of the paper are marked as the paper's; everything else is ours.",
        "",
        *(f"**{each}.** So the figures below are without this rival.\n" for each in found.missing),
        "## What the paper's 1.79 is",
        "",
        found.paper_line,
        "",
        "## Table III",
        "",
        "400 MHz, 45 nm, arrays with their decoders. Powers of the paper are those that it states; of ours, at full "
        "activity, without and with glitches.",
        "",
        _table_iii(found),
        "## Fig. 8: where the PE array's power goes",
        "",
        f"![shares of the power]({NAME}-figure-8.png)",
        "",
        _figure_8_table(found),
        "## Fig. 9: energy efficiency on language models",
        "",
        f"![gains]({NAME}-figure-9.png)",
        "",
        "Multiply-accumulates per energy, FineQ over the MAC array of the same size in the same machine, on the same "
        "bus: equal array and equal bandwidth. Linear layers of a prefill, as the paper counts. "
        f"{found.source[0].upper()}{found.source[1:]}; both ends are shown. DRAM: {dram}. MAC arrays are clocked for "
        "free while they wait for the bus, and have latches where `fineq_64x64` has flip-flops, as the paper's: both "
        "favour them. `time`: FineQ's over the MAC machine's. `time x area`: the same at equal area of array and SRAM, "
        "below 1 where FineQ is ahead.",
        "",
        _figure_9_table(found.points),
        f"Not measured, so in none of these: {'; '.join(NOT_MEASURED)}.",
        "",
        "## How far the cycles are checked",
        "",
        *(f"* {each}" for each in found.checks),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _table_iii(found: Evaluation) -> str:
    rows = [
        (
            name,
            f"{area:.4f}",
            f"{power:.3f}",
            "" if glitches is None else f"{glitches:.3f}",
            "" if steps is None else f"{steps:.3f}",
        )
        for name, area, power, glitches, steps in table_iii(found.reports, found.size)
    ]
    return markdown.table(("design", "mm2", "mW", "mW with glitches", "steps a vector"), rows, "lr")


def _figure_8_table(found: Evaluation) -> str:
    plain, full = (power_shares(found.reports, found.size, glitches) for glitches in (False, True))
    rows = [
        (block, f"{PAPER_SHARES[block]:.1%}" if block in PAPER_SHARES else "", f"{share:.1%}", f"{full[block]:.1%}")
        for block, share in plain.items()
    ]
    return markdown.table(("block", "paper", "ours", "ours with glitches"), rows, "lr")


def _figure_9_table(points: Sequence[Point]) -> str:
    groups: dict[tuple[str, str, str, int], list[Point]] = {}
    for each in points:
        groups.setdefault((each.ours, each.rival, each.model, each.sequence), []).append(each)
    rows = []
    for (ours, rival, model, sequence), ends in groups.items():
        gains = [_ends([end.gains[bar] for end in ends]) for bar in range(len(BARS))]
        times = _ends([end.seconds[0] / end.seconds[1] for end in ends])
        rows.append((f"`{ours}`", f"`{rival}`", model, sequence, *gains, times, _ends([end.time_area for end in ends])))
    headers = ("ours", "rival", "model", "tokens", *BARS, "time", "time x area")
    return markdown.table(headers, rows, "lllr")


def _ends(values: Sequence[float]) -> str:
    texts = list(dict.fromkeys(f"{value:.2f}" for value in sorted(values)))
    return " to ".join(texts)


def figure_8(found: Evaluation) -> bytes:
    """Shares of the power, the paper's beside ours."""
    plain, full = (power_shares(found.reports, found.size, glitches) for glitches in (False, True))
    bars = {"paper": PAPER_SHARES, "ours": plain, "ours, with glitches": full}
    blocks = sorted(plain, key=lambda block: -plain[block])
    figure = Figure(figsize=(8.4, 2.6), layout="constrained")
    axes = figure.subplots()
    colours = matplotlib.colormaps["tab10"]
    for number, shares in enumerate(bars.values()):
        left = 0.0
        for position, block in enumerate(blocks):
            share = shares.get(block, 0.0)
            axes.barh(
                number, share, left=left, height=0.6, color=colours(position), label=block if number == 1 else None
            )
            if share > 0.04:
                axes.text(left + share / 2, number, f"{share:.1%}", ha="center", va="center", fontsize=8, color="white")
            left += share
    axes.set_yticks(range(len(bars)), list(bars), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the PE array's power", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(fontsize=8, frameon=False, loc="outside right center")
    return png_bytes(figure)


def figure_9(found: Evaluation) -> bytes:
    """Four bars a point: a row of charts for each of ours, a chart for each rival, the ends of a range as whiskers."""
    ours = list(dict.fromkeys(each.ours for each in found.points))
    rivals = list(dict.fromkeys(each.rival for each in found.points))
    places = list(dict.fromkeys((each.model, each.sequence) for each in found.points))
    figure = Figure(figsize=(max(6.5, 0.62 * len(places)) * len(rivals), 3.1 * len(ours)), layout="constrained")
    grid = figure.subplots(len(ours), len(rivals), squeeze=False, sharey="col")
    colours = [matplotlib.colormaps["Blues"](shade) for shade in (0.95, 0.75, 0.55, 0.35)]
    for row, our in enumerate(ours):
        for column, rival in enumerate(rivals):
            axes = grid[row][column]
            for number, place in enumerate(places):
                ends = [
                    p for p in found.points if (p.ours, p.rival, p.model, p.sequence) == (our, rival, *place)
                ]  # fmt: skip
                for bar, colour in enumerate(colours):
                    low, high = min(p.gains[bar] for p in ends), max(p.gains[bar] for p in ends)
                    x = number + (bar - 1.5) * 0.21
                    axes.bar(x, (low + high) / 2, 0.2, color=colour, label=BARS[bar] if not number else None)
                    if high > low:
                        axes.plot([x, x], [low, high], color="#1c2733", lw=0.9)
            axes.axhline(1, color="#1c2733", lw=0.8)
            axes.axhline(PAPER_EFFICIENCY, color="#c0392b", lw=0.9, ls="--", label=f"paper, {PAPER_EFFICIENCY}")
            axes.set_xticks(range(len(places)), [f"{sequence}" for _, sequence in places], fontsize=7)
            for number, (model, _) in enumerate(places):
                if not number or places[number - 1][0] != model:
                    axes.annotate(
                        model,
                        (number - 0.4, -0.13),
                        xycoords=("data", "axes fraction"),
                        fontsize=8,
                        annotation_clip=False,
                    )
            axes.set_title(f"{our} over {rival}", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            if not column:
                axes.set_ylabel("MACs per energy, ratio", fontsize=8)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside upper center", ncols=len(labels))
    return png_bytes(figure)
