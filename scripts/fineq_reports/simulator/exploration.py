"""The report of an exploration: fronts, the machines that one knows beside them, and the best run again exactly."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.lines
import matplotlib.ticker
from matplotlib.figure import Figure

from fineq.common import markdown
from fineq.common.files import write_bytes, write_text
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_reports.plotting import PALETTE, png_bytes
from fineq_sim.energy.model import not_measured
from fineq_sim.energy.synthesis import MissingSynthesis, SynthesisedArray
from fineq_sim.explore.points import Exploration, array_fit, measure
from fineq_sim.explore.search import Found, best_by_product, pareto, product
from fineq_sim.explore.space import KINDS, architecture
from fineq_sim.explore.store import Store

NAME = "exploration"

REFERENCES: dict[str, dict[str, Any]] = {
    "FineQ unary (the paper's encoding), 64x64": {"encoding": "unary", "rows": 64, "columns": 64},
    "FineQ cluster, 64x64": {"encoding": "cluster", "rows": 64, "columns": 64},
    "MAC 8x3, 64x64": {"encoding": "mac8x3", "rows": 64, "columns": 64},
    "MAC 8x3 by hand, 64x64": {"encoding": "mac8x3-digits", "rows": 64, "columns": 64},
    "MAC 8x8, 64x64": {"encoding": "mac8x8", "rows": 64, "columns": 64},
}
"""Machines that stand in every picture: the base of the space with these arrays."""

_COLUMNS = ("seconds", "joule_chip", "joule_low", "joule_high", "mm2", "busy", "steps", "engine", "measured")


@dataclass(frozen=True)
class Summary:
    """All that the report shows.

    Attributes:
        exploration: what was explored.
        good: points in the order of the space; `refused`: how often each reason came up.
        references: machines that one knows, by name; `missing` says which are not there and why.
        again: best points with their exact run, or why there is none.
        command: that made it.
    """

    exploration: Exploration
    good: list[Found]
    refused: Counter[str]
    references: dict[str, Found]
    missing: list[str]
    again: list[tuple[Found, dict[str, Any]]]
    command: str


def references(exploration: Exploration, store: Store) -> tuple[dict[str, Found], list[str]]:
    """The machines of `REFERENCES`, kept like any point, and sentences about those that are missing."""
    found, missing = {}, []
    for name, point in REFERENCES.items():
        try:
            known = store.find(point)
            if known is None:
                known = measure(exploration, point)
                store.add(point, known)
        except MissingSynthesis as error:
            missing.append(f"{name} is missing: {error}")
            continue
        if "refused" in known:
            missing.append(f"{name} is missing: {known['refused']}")
        else:
            found[name] = (point, known)
    return found, missing


def rerun(exploration: Exploration, good: Sequence[Found], count: int) -> list[tuple[Found, dict[str, Any]]]:
    """The best points by area x energy x time, run exactly."""
    return [(each, measure(exploration, each[0], engine="exact")) for each in best_by_product(good, count)]


def summarise(
    exploration: Exploration,
    good: list[Found],
    bad: list[Found],
    known: tuple[dict[str, Found], list[str]],
    again: list[tuple[Found, dict[str, Any]]],
    command: str,
) -> Summary:
    """Everything in one."""
    return Summary(
        exploration, good, Counter(found["refused"] for _, found in bad), known[0], known[1], again, command
    )  # fmt: skip


def write_exploration(summary: Summary, directory: Path) -> list[Path]:
    """Write table, page and picture."""
    return [
        write_text(directory / f"{NAME}-points.csv", points_csv(summary)),
        write_text(directory / f"{NAME}.md", page(summary)),
        write_bytes(directory / f"{NAME}.png", picture(summary)),
    ]


def points_csv(summary: Summary) -> str:
    """All points that can be built, those on the front marked."""
    front = {id(found) for _, found in pareto(summary.good)}
    axes = list(summary.exploration.space.axes)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*axes, *_COLUMNS, "front"])
    for point, found in summary.good:
        numbers = [f"{found[name]:.6g}" if isinstance(found[name], float) else found[name] for name in _COLUMNS]
        writer.writerow([*(point[axis] for axis in axes), *numbers, int(id(found) in front)])
    return text.getvalue()


def page(summary: Summary) -> str:
    """The page."""
    exploration, space = summary.exploration, summary.exploration.space
    front = pareto(summary.good)
    axes = list(space.axes)
    work = ", ".join(each.name for each in exploration.workload.passes)
    refused = sum(summary.refused.values())
    parts = [
        f"# Machines for {exploration.workload.name}",
        "",
        f"Made by `{summary.command}`: {len(summary.good):,} machines of a grid of {space.grid:,}, {work}, linear "
        f"layers; {refused:,} more points cannot be built. Base {space.base}.",
        "",
        "Area is that of array and SRAM (the logic around is in [accelerator-blocks.md](accelerator-blocks.md) for one "
        "machine only); energy has the lower DRAM figure; time is that of the `tile` engine. Of unknown weights, the "
        "middle of the range of measured models; for columns other than 64 their steps are worked out as if columns "
        f"were independent. {array_fit(exploration.results).sentence()}.",
        "",
        f"Not measured, so not in the energy: {'; '.join(_left_out(summary))}.",
        "",
        f"![area, energy and time]({NAME}.png)",
        "",
        "## Machines that one knows",
        "",
        *(f"{each}.\n" for each in summary.missing),
        _table(["machine"], [([name], found) for name, (_, found) in summary.references.items()]),
        "## The front",
        "",
        f"{len(front)} machines of which no other is at least as good in area, energy and time. By kind of array: "
        + ", ".join(f"{kind} {count}" for kind, count in _kinds(front).most_common())
        + f"; of all machines: {', '.join(f'{kind} {count}' for kind, count in _kinds(summary.good).most_common())}.",
        "",
        _table(axes, [([point[axis] for axis in axes], found) for point, found in _shown(front)]),
    ]
    if summary.again:
        parts += [
            "## The best, run again exactly",
            "",
            "By area x energy x time.",
            "",
            markdown.table(
                (*axes, "mm²", "J", "s", "s, exact", "off by"),
                [
                    (
                        *(point[axis] for axis in axes),
                        f"{found['mm2']:.3f}",
                        f"{found['joule_low']:.4g}",
                        f"{found['seconds']:.5g}",
                        f"{exact['seconds']:.5g}",
                        f"{found['seconds'] / exact['seconds'] - 1:+.2%}",
                    )
                    for (point, found), exact in summary.again
                ],
                "l" * len(axes) + "r",
            ),
        ]
    if summary.refused:
        parts += ["## What cannot be built", ""]
        parts += [f"* {count:,} times: {why}" for why, count in summary.refused.most_common(5)]
    return "\n".join(parts).rstrip() + "\n"


_SHOWN = 40


def _shown(front: list[Found]) -> list[Found]:
    """Of a long front, the best by area x energy x time, in the order of area."""
    best = sorted(front, key=lambda each: product(each[1]))[:_SHOWN]
    return sorted(best, key=lambda each: each[1]["mm2"])


def _kinds(found: Sequence[Found]) -> Counter[str]:
    return Counter(str(point.get("encoding", "base")) for point, _ in found)


def _left_out(summary: Summary) -> tuple[str, ...]:
    """What the energies of the machines leave out."""
    exploration = summary.exploration
    kinds: dict[ArrayConfig | MacConfig, SynthesisedArray] = {}
    for point, _ in summary.good:
        array = architecture(exploration.space, point).config.array
        kinds.setdefault(array, array_fit(exploration.results).array(array)[0])
    return not_measured(kinds.values())


def _table(headers: Sequence[str], rows: Sequence[tuple[list[Any], dict[str, Any]]]) -> str:
    cells = [
        (
            *names,
            f"{found['mm2']:.3f}",
            f"{found['joule_chip']:.4g}",
            f"{found['joule_low']:.4g} to {found['joule_high']:.4g}",
            f"{found['seconds']:.4g}",
            f"{found['busy']:.1%}",
            f"{found['steps']:.2f}",
            "yes" if found["measured"] else "estimated",
            f"{product(found):.4g}",
        )
        for names, found in rows
    ]
    ends = ("mm²", "J on chip", "J with DRAM", "s", "array busy", "steps", "synthesised", "mm² x J x s")
    return markdown.table((*headers, *ends), cells, "l" * len(headers) + "r")


def _few(value: float, position: object) -> str:
    """Labels of the small ticks: numbers that begin with 2 or 5."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def picture(summary: Summary) -> bytes:
    """Time over area and energy over area; the front is outlined, machines that one knows are named."""
    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    kinds = [kind for kind in KINDS if kind in _kinds(summary.good)] or ["base"]
    colours = PALETTE
    front = pareto(summary.good)
    for axes, (goal, label) in zip(
        figure.subplots(1, 2),
        (("seconds", "time, s"), ("joule_low", "energy with DRAM at the lower figure, J")),
        strict=True,
    ):
        for number, kind in enumerate(kinds):
            ours = [found for point, found in summary.good if str(point.get("encoding", "base")) == kind]
            axes.scatter(
                [found["mm2"] for found in ours],
                [found[goal] for found in ours],
                s=9,
                color=colours[number % len(colours)],
                alpha=0.45,
                linewidths=0,
                label=kind,
            )
        axes.scatter(
            [found["mm2"] for _, found in front],
            [found[goal] for _, found in front],
            s=20,
            facecolors="none",
            edgecolors="#1c2733",
            linewidths=0.7,
            label="on the front of all three",
        )
        for number, (_, found) in enumerate(summary.references.values(), 1):
            axes.scatter(found["mm2"], found[goal], s=90, marker="*", color="#c0392b", zorder=4)
            axes.annotate(
                str(number),
                (found["mm2"], found[goal]),
                xytext=(6, 5),
                textcoords="offset points",
                fontsize=9,
                zorder=5,
            )
        axes.set(xscale="log", yscale="log", xlabel="array and SRAM, mm²", ylabel=label)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(matplotlib.ticker.FuncFormatter(_few))
        axes.tick_params(which="both", labelsize=8)
        axes.grid(True, which="major", color="#e6eaef", lw=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    named = "\n".join(f"{number}  {name}" for number, name in enumerate(summary.references, 1))
    handles.append(matplotlib.lines.Line2D([], [], marker="*", ls="", ms=9, color="#c0392b"))
    labels.append(named)
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside right center")
    figure.suptitle(f"{summary.exploration.workload.name}: {len(summary.good):,} machines", fontsize=10)
    return png_bytes(figure)
