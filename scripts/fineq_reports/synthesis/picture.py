"""Picture of a synthesis report: area by block, power by kind and energy per MAC of every design, side by side.

Everything is read from the JSON report, so a committed report can be drawn again without a new synthesis.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.designs import BLOCKS

BLOCK_COLOURS = dict(
    zip(
        BLOCKS,
        # decoders .. activation register, skew, buffers, processing elements, accumulators
        ("#d62728", "#ff9896", "#8c564b", "#9467bd", "#e377c2", "#17becf", "#2ca02c", "#7f7f7f", "#1f77b4", "#ff9f1c"),
        strict=True,
    )
)
"""One colour per block, the same in every picture."""

KIND_COLOURS = {"internal": "#4c5b8f", "switching": "#8fb6d9", "leakage": "#c9a227", "glitches": "#e07a5f"}
"""Kinds of power; `glitches` is what transitions that do not last add to all of them."""

_BAR_INCHES, _HEAD_INCHES, _LEGEND_INCHES = 0.3, 0.75, 0.75


@dataclass(frozen=True)
class Panel:
    """One set of stacked bars.

    Attributes:
        title: above it.
        parts: values by name of the part, one per design, in the order they are stacked.
        colours: by name of the part.
        digits: decimals of the total that is written behind each bar.
    """

    title: str
    parts: dict[str, list[float]]
    colours: dict[str, str]
    digits: int

    def totals(self) -> list[float]:
        """Length of each bar."""
        return [sum(values) for values in zip(*self.parts.values(), strict=True)]


def panels(document: dict[str, Any], designs: Sequence[dict[str, Any]]) -> list[Panel]:
    """Area by block, power by kind and energy by block of the designs given.

    Args:
        document: a JSON report (`report.as_json`).
        designs: of its `designs`.
    """
    elements = [design["rows"] * design["columns"] for design in designs]
    area = {
        block: [design["area_um2"].get(block, 0.0) / count for design, count in zip(designs, elements, strict=True)]
        for block in BLOCKS
    }
    plain = [design["power_w"]["total"] for design in designs]
    glitching = [design["power_with_glitches_w"]["total"]["total"] for design in designs]
    power = {kind: [1e3 * total[kind] for total in plain] for kind in KIND_COLOURS if kind != "glitches"}
    power["glitches"] = [1e3 * (after - before["total"]) for after, before in zip(glitching, plain, strict=True)]
    energy = {block: [_energy(design, block) for design in designs] for block in BLOCKS}
    clock = 1000 / document["clock_ns"]
    return [
        Panel("area per processing element, um²", _used(area), BLOCK_COLOURS, 1),
        Panel(f"power at {clock:g} MHz, mW", power, KIND_COLOURS, 0 if max(glitching) > 1 else 1),
        Panel("energy per MAC, glitches counted, pJ", _used(energy), BLOCK_COLOURS, 3),
    ]


def _energy(design: dict[str, Any], block: str) -> float:
    """pJ per multiply-accumulate that a block takes."""
    watts = design["power_with_glitches_w"].get(block, {"total": 0.0})["total"]
    seconds = design["cycles_per_vector"] * design["clock_ns"] * 1e-9
    return 1e12 * watts * seconds / (design["rows"] * design["columns"])


def _used(parts: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in parts.items() if any(values)}


def write_picture(document: dict[str, Any], path: Path) -> None:
    """Draw a report: all designs above, below them the FineQ arrays alone on their own scale.

    Args:
        document: a JSON report (`report.as_json`).
        path: PNG file; the same report gives the same bytes.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = {"all designs": document["designs"]}
    arrays = [design for design in document["designs"] if "encoding" in design]
    if arrays and len(arrays) < len(document["designs"]):
        groups["FineQ arrays alone, larger scale"] = arrays
    heights = [_BAR_INCHES * len(designs) + _HEAD_INCHES for designs in groups.values()]
    figure = pyplot.figure(figsize=(17, sum(heights) + _LEGEND_INCHES), layout="constrained")
    ratios = [*heights, _LEGEND_INCHES]
    *parts, foot = list(figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0])
    for part, (title, designs) in zip(parts, groups.items(), strict=True):
        drawn = panels(document, designs)
        for axis, panel in zip(part.subplots(1, len(drawn), sharey=True), drawn, strict=True):
            _draw(axis, panel, [_label(design) for design in designs])
        part.suptitle(f"{document['size']}: {title}", fontsize=12, fontweight="bold", x=0.01, ha="left")
    blocks = dict.fromkeys(name for panel in panels(document, document["designs"])[::2] for name in panel.parts)
    ordered = [block for block in BLOCKS if block in blocks]
    for name, colours, place in (
        ("block, in area and energy", {block: BLOCK_COLOURS[block] for block in ordered}, 0.36),
        ("kind of power", KIND_COLOURS, 0.84),
    ):
        handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
        columns = min(5, (len(colours) + 1) // 2)
        foot.legend(handles, colours, title=name, loc="center", bbox_to_anchor=(place, 0.5), ncols=columns, fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None}, format="png")
    pyplot.close(figure)


def _label(design: dict[str, Any]) -> str:
    return design["title"].replace(" weights", "")


def _draw(axis, panel: Panel, labels: Sequence[str]) -> None:
    """Horizontal bars, the first design on top, its total behind it."""
    places = range(len(labels))
    left = [0.0] * len(labels)
    for name, values in panel.parts.items():
        axis.barh(places, values, left=left, height=0.7, color=panel.colours[name])
        left = [start + value for start, value in zip(left, values, strict=True)]
    for place, total in zip(places, panel.totals(), strict=True):
        axis.annotate(f"{total:.{panel.digits}f}", (total, place), (4, 0), textcoords="offset points", va="center")
    axis.set_yticks(places, labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlim(0, 1.14 * max(panel.totals()))
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(axis="y", length=0)


def read_report(path: Path) -> dict[str, Any]:
    """A JSON report from disk.

    Raises:
        SynthesisError: the file cannot be read or is none.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        designs = document["designs"]
        for key in ("area_um2", "power_w", "power_with_glitches_w", "cycles_per_vector", "clock_ns", "title"):
            designs[0][key]
        document["size"], document["clock_ns"]
    except OSError as error:
        raise SynthesisError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, IndexError):
        raise SynthesisError(f"{path} is not a synthesis report: give the .json file of `make synth`") from None
    return document
