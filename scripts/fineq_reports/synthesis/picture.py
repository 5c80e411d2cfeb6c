"""Picture of a synthesis report: area by block, power by kind and energy per MAC of every design, below one another.

Everything is read from the JSON report, so a committed report can be drawn again without a new synthesis.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.designs import BLOCKS
from fineq_reports.plotting import WIDTH, png_bytes, styled

BLOCK_COLOURS = dict(
    zip(
        BLOCKS,
        # decoders .. activation register, skew, buffers, processing elements, accumulators
        ("#a02b3c", "#cc79a7", "#000000", "#5b2c83", "#d55e00", "#f0e442", "#009e73", "#8a97a5", "#0072b2", "#e69f00"),
        strict=True,
    )
)
"""One colour per block, the same in every picture."""

KIND_COLOURS = {"internal": "#2b3f6b", "switching": "#56b4e9", "leakage": "#b7d7a8", "glitches": "#c44e52"}
"""Kinds of power; `glitches` is what transitions that do not last add to all of them."""

_BAR_INCHES, _HEAD_INCHES, _LEGEND_INCHES = 0.36, 0.75, 1.4


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
        Panel("area, µm²/PE", _used(area), BLOCK_COLOURS, 1),
        Panel(f"power at {clock:g} MHz with glitches, mW", power, KIND_COLOURS, 0 if max(glitching) > 1 else 1),
        Panel("energy with glitches, pJ/MAC", _used(energy), BLOCK_COLOURS, 3),
    ]


def _energy(design: dict[str, Any], block: str) -> float:
    """pJ per multiply-accumulate that a block takes."""
    watts = design["power_with_glitches_w"].get(block, {"total": 0.0})["total"]
    seconds = design["cycles_per_vector"] * design["clock_ns"] * 1e-9
    return 1e12 * watts * seconds / (design["rows"] * design["columns"])


def _used(parts: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: values for name, values in parts.items() if any(values)}


def picture(document: dict[str, Any]) -> bytes:
    """Draw a report: all designs, then the FineQ arrays alone on their own scale; the same report gives the same bytes.

    Args:
        document: a JSON report (`report.as_json`).
    """
    with styled():
        return png_bytes(_figure(document))


def write_picture(document: dict[str, Any], path: Path) -> None:
    """Draw a report into a PNG file."""
    path.write_bytes(picture(document))


def _figure(document: dict[str, Any]) -> Figure:
    """Below one another, to be read on a narrow screen: area, power and energy of each group of designs."""
    groups = {"all designs": document["designs"]}
    arrays = [design for design in document["designs"] if "encoding" in design]
    if arrays and len(arrays) < len(document["designs"]):
        groups["FineQ arrays alone"] = arrays
    drawn = [(title, designs, panel) for title, designs in groups.items() for panel in panels(document, designs)]
    heights = [_BAR_INCHES * len(designs) + _HEAD_INCHES for _, designs, _ in drawn]
    figure = Figure(figsize=(WIDTH + 0.4, sum(heights) + _LEGEND_INCHES), layout="constrained")
    panes = figure.subplots(len(drawn), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (title, designs, panel) in zip(panes, drawn, strict=True):
        _draw(axis, panel, [_label(design) for design in designs])
        axis.set_title(f"{document['size']}, {title}\n{panel.title}")
    blocks = dict.fromkeys(name for panel in panels(document, document["designs"])[::2] for name in panel.parts)
    ordered = {block: BLOCK_COLOURS[block] for block in BLOCKS if block in blocks}
    handles = [Patch(color=colour) for colour in (*ordered.values(), *KIND_COLOURS.values())]
    labels = [*ordered, *(f"{kind} (power)" for kind in KIND_COLOURS)]
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _label(design: dict[str, Any]) -> str:
    """Its title; a long one in lines, so that it leaves room for the bars."""
    return "\n".join(textwrap.wrap(design["title"].replace(" weights", ""), 30, break_on_hyphens=False))


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
    axis.set_xlim(0, 1.14 * max(panel.totals()))
    axis.grid(axis="y", visible=False)
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
