"""Block diagram of an accelerator, drawn from the instances and streams that its Verilog has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from fineq_hw.accelerator import Accelerator
from fineq_hw.export.conversion import Converted
from fineq_hw.export.manifest import Manifest
from fineq_hw.interface.registers import ADDRESS_BITS
from fineq_hw.lib.axi import MASTER_PREFIX, SLAVE_PREFIX, axi_lite_slave_ports, axi_master_ports
from fineq_reports.architecture.structure import OUTSIDE, Structure, read_structure
from fineq_reports.plotting import save_png


@dataclass(frozen=True)
class Place:
    """Where a block stands in the picture, and which stage of the pipeline (paper Section IV-A) it is.

    `side`: under which end of the block the names of its other inputs stand; where no arrow leaves or passes.
    """

    x: float
    y: float
    stage: str = ""
    side: Literal["left", "right"] = "right"


PLACES: Mapping[str, Place] = {
    "registers": Place(1.0, 4.2),
    "descriptor_unit": Place(3.0, 4.2),
    "job_control": Place(5.0, 4.2),
    "watchdog": Place(7.0, 4.2),
    "read_dma": Place(1.0, 2.0, "1 memory access"),
    "weight_buffer": Place(3.0, 3.1, "2 decode"),
    "input_buffer": Place(3.0, 2.0, "3 preload"),
    "core": Place(5.0, 2.55, "4 matrix multiplication"),
    "output_buffer": Place(7.0, 2.55),
    "parameter_buffer": Place(3.0, 0.9, side="left"),
    "vector_unit": Place(5.0, 0.9, "5 vector processing"),
    "write_back": Place(3.0, -0.9),
    "write_dma": Place(1.0, -0.3, "6 write-back"),
}
"""Places of the blocks. A block of the machine that is missing here is an error, so the picture cannot lag behind."""

_WIDTH, _HEIGHT = 1.24, 0.8
_BLOCK_COLOUR = "#eceff4"
_STAGE_COLOUR = "#d5e5f5"
_STREAM_COLOUR, _BUS_COLOUR, _TAG_COLOUR = "#1f4e79", "#8a4b08", "#5b6876"
_BUSES = {SLAVE_PREFIX: "AXI4-Lite", MASTER_PREFIX: "AXI4"}
_ANSWER_BITS = 8
"""A bus has at most so many wires back to its sender (ready, response codes): they are drawn with the way there."""

_LEGEND = "blue: streams with a handshake, width in bits; brown: buses; grey: what else a block listens to"


def _contents(manifest: Manifest, module: str) -> str:
    """Instances inside a block, counted by what they are: `64 x decoder`, `gearbox`."""
    kinds = Counter(manifest.entry(child).kind for child in manifest.entry(module).children.values())
    return ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in sorted(kinds.items()))


def _edge(source: Place, sink: Place) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of an arrow on the borders of two boxes."""
    dx, dy = sink.x - source.x, sink.y - source.y

    def border(place: Place, sign: int) -> tuple[float, float]:
        scale = min(_WIDTH / 2 / abs(dx) if dx else 9, _HEIGHT / 2 / abs(dy) if dy else 9)
        return place.x + sign * dx * scale, place.y + sign * dy * scale

    return border(source, 1), border(sink, -1)


def _arrow(axes, start, end, text: str, colour: str, both_ways: bool = False) -> None:
    style = "<|-|>" if both_ways else "-|>"
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=11, lw=1.4, color=colour, zorder=2))
    if text:
        x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.9}
        axes.text(x, y, text, fontsize=7, ha="center", va="center", color=colour, bbox=box, zorder=4)


def _streams(structure: Structure) -> dict[tuple[str, str], list[str]]:
    """Streams between two blocks: a text for each."""
    found: dict[tuple[str, str], list[str]] = {}
    for link in structure.connections:
        if link.stream and OUTSIDE not in (link.source, link.sink):
            found.setdefault((link.source, link.sink), []).append(f"{link.title} {link.bits}")
    return found


def draw(converted: Converted, component: Accelerator, top: str, title: str, file: Path) -> Structure:
    """Draw the blocks of `top` and the streams between them.

    Args:
        converted: as `fineq_hw.export.conversion.convert` returns it.
        component: the accelerator.
        top: its module.
        title: of the picture.
        file: PNG to write.

    Raises:
        ValueError: the machine has a block that has no place in the picture, or lacks one.
    """
    buses = {SLAVE_PREFIX: axi_lite_slave_ports(ADDRESS_BITS), MASTER_PREFIX: axi_master_ports(component.config)}
    structure = read_structure(converted, component, top, buses)
    if set(structure.instances) != set(PLACES):
        difference = sorted(set(structure.instances) ^ set(PLACES))
        raise ValueError(f"the picture and the machine differ in {', '.join(difference)}: give the block a place")
    figure = Figure(figsize=(11.6, 8.5))
    axes = figure.subplots()
    for name, place in PLACES.items():
        corner = (place.x - _WIDTH / 2, place.y - _HEIGHT / 2)
        colour = _STAGE_COLOUR if place.stage else _BLOCK_COLOUR
        axes.add_patch(
            FancyBboxPatch(
                corner, _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=0.06", fc=colour, ec="#333", zorder=3
            )
        )
        axes.text(place.x, place.y + 0.26, name, fontsize=9, weight="bold", ha="center", va="center", zorder=5)
        if place.stage:
            axes.text(
                place.x, place.y + 0.1, place.stage, fontsize=7.5, style="italic", ha="center", va="center", zorder=5
            )
        text = _wrapped(_contents(converted.manifest, structure.instances[name]))
        axes.text(place.x, place.y - 0.16, text, fontsize=7, ha="center", va="center", color="#444", zorder=5)

    pairs = _streams(structure)
    for (source, sink), texts in pairs.items():
        back = pairs.get((sink, source), [])
        if back and source > sink:
            continue  # drawn with the other direction
        start, end = _edge(PLACES[source], PLACES[sink])
        _arrow(axes, start, end, "\n".join(sorted(texts + back)), _STREAM_COLOUR, bool(back))
    for name, place in PLACES.items():
        tags = sorted(
            {link.port for link in structure.connections if link.sink == name and not link.stream} - set(_BUSES)
        )
        inwards = (_WIDTH / 2 - 0.03) * (1 if place.side == "right" else -1)
        corner = (place.x + inwards, place.y - _HEIGHT / 2 - 0.02)
        axes.text(
            *corner, _wrapped(", ".join(tags), 30), fontsize=6, ha=place.side, va="top", color=_TAG_COLOUR, zorder=5
        )
    _outside(axes, structure)
    axes.text(3.4, -1.62, _LEGEND, fontsize=7.5, ha="center", color="#444")
    axes.set_title(title, fontsize=12)
    axes.set_xlim(-0.9, 7.7)
    axes.set_ylim(-1.75, 4.75)
    axes.set_aspect("equal")
    axes.axis("off")
    figure.tight_layout()
    save_png(figure, file)
    return structure


def _wrapped(text: str, width: int = 30) -> str:
    lines = [""]
    for word in text.split(", "):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += (", " if lines[-1] else "") + word
    return "\n".join(lines)


def _outside(axes, structure: Structure) -> None:
    """The buses that leave the machine."""
    for x, y, height, text in ((-0.6, 4.2, 0.5, "host"), (-0.6, 0.85, 3.1, "off-chip\nmemory")):
        axes.add_patch(
            FancyBboxPatch((x - 0.24, y - height / 2), 0.48, height, boxstyle="square,pad=0", fc="#f6ead8", ec="#333")
        )
        axes.text(x, y, text, fontsize=8, ha="center", va="center")
    for link in structure.connections:
        if OUTSIDE in (link.source, link.sink) and link.port in _BUSES and link.bits > _ANSWER_BITS:
            block = PLACES[link.sink or link.source]
            ends = (-0.36, block.y), (block.x - _WIDTH / 2, block.y)
            if link.sink == OUTSIDE:
                ends = (ends[1][0], ends[1][1] - 0.15), (ends[0][0], ends[0][1] - 0.15)
            _arrow(axes, *ends, "" if link.sink == OUTSIDE else _BUSES[link.port], _BUS_COLOUR)
