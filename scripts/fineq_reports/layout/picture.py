"""Draws a layout: placed cells by category beside the routing by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.collections import PolyCollection  # noqa: E402
from matplotlib.patches import Patch, Rectangle  # noqa: E402

from fineq.common.files import replacing  # noqa: E402
from fineq_asic.layout.results import CATEGORIES  # noqa: E402
from fineq_asic.layout.routed import Rectangle as Area  # noqa: E402
from fineq_asic.layout.routed import RoutedBlock  # noqa: E402

_CELL_COLOURS = dict(
    zip(CATEGORIES, ("#4e79a7", "#a0cbe8", "#f28e2b", "#9c755f", "#e15759", "#59a14f", "#ececec"), strict=True)
)
_LAYER_COLOURS = {
    "metal1": "#3b6fb6",
    "metal2": "#d1495b",
    "metal3": "#3f9b5c",
    "metal4": "#c9a227",
    "metal5": "#7b4fa3",
    "metal6": "#2aa6a6",
    "metal7": "#8a8a8a",
}


def draw_layout(layout: RoutedBlock, title: str, categories: dict[str, str], path: Path) -> None:
    """Write the picture as PNG; the same layout gives the same bytes.

    Args:
        layout: the routed block.
        title: heading.
        categories: of the cells by name.
        path: file to write.
    """
    figure, (cells, wires) = plt.subplots(1, 2, figsize=(13, 7.6), dpi=110)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.91, bottom=0.15, wspace=0.14)
    figure.suptitle(title, fontsize=12)
    keys = (_draw_cells(cells, layout, categories), _draw_wires(wires, layout))
    for axes, key in zip((cells, wires), keys, strict=True):
        axes.legend(handles=key, loc="upper center", bbox_to_anchor=(0.5, -0.075), ncols=3, fontsize=8, frameon=False)
    for axes in (cells, wires):
        axes.add_patch(Rectangle(layout.die[:2], *_extent(layout), fill=False, edgecolor="black", linewidth=0.8))
        axes.set_aspect("equal")
        axes.set_xlim(layout.die[0] - 1, layout.die[2] + 1)
        axes.set_ylim(layout.die[1] - 1, layout.die[3] + 1)
        axes.set_xlabel("x, µm")
        axes.set_ylabel("y, µm")
    with replacing(path) as part:
        figure.savefig(part, metadata={"Software": None})
    plt.close(figure)


def _extent(layout: RoutedBlock) -> tuple[float, float]:
    return layout.die[2] - layout.die[0], layout.die[3] - layout.die[1]


def _boxes(areas: list[Area]) -> Any:
    """Corners of rectangles, float [rectangles, 4, 2]."""
    x0, y0, x1, y1 = np.asarray(areas, dtype=float).T
    return np.stack([np.stack(pair, axis=1) for pair in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], axis=1)


def _draw_cells(axes: Axes, layout: RoutedBlock, categories: dict[str, str]) -> list[Patch]:
    areas: dict[str, list[Area]] = {kind: [] for kind in CATEGORIES}
    for cell in layout.cells:
        areas[categories[cell.name]].append(cell.area)
    for kind in reversed(CATEGORIES):
        if areas[kind]:
            boxes, colour = _boxes(areas[kind]), _CELL_COLOURS[kind]
            axes.add_collection(PolyCollection(boxes, facecolors=colour, edgecolors="white", linewidths=0.1))
    shown = [kind for kind in CATEGORIES if areas[kind]]
    axes.set_title("placement", fontsize=10)
    return [Patch(color=_CELL_COLOURS[kind], label=f"{kind} ({len(areas[kind])})") for kind in shown]


def _draw_wires(axes: Axes, layout: RoutedBlock) -> list[Patch]:
    handles = []
    for layer, colour in _LAYER_COLOURS.items():
        signals, supply = layout.signal_wires.get(layer, []), layout.supply_wires.get(layer, [])
        if supply:
            axes.add_collection(PolyCollection(_boxes(supply), facecolors=colour, alpha=0.25, linewidths=0))
        if signals:
            axes.add_collection(PolyCollection(_boxes(signals), facecolors=colour, alpha=0.8, linewidths=0))
        if signals or supply:
            handles.append(Patch(color=colour, label=layer))
    pins = np.array([(pin.x, pin.y) for pin in layout.pins]).reshape(-1, 2)
    axes.plot(pins[:, 0], pins[:, 1], "k.", markersize=1.2)
    axes.set_title("routing; power grid pale, pins black", fontsize=10)
    return handles
