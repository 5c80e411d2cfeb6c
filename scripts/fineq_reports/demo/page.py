"""The demo's report: one self-contained HTML page of tables and plots."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import matplotlib
from matplotlib.figure import Figure

from fineq.common.files import write_text
from fineq_reports.plotting import ACCENT, QUIET, png_bytes

TEMPLATES = Path(__file__).parent
CODE_FILES = ("*.j2",)


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column is left-aligned, numbers are right-aligned."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    highlight: int | None = None
    """Row to set off."""


@dataclass(frozen=True)
class Plot:
    """A picture as PNG bytes."""

    png: bytes
    caption: str

    @property
    def data_url(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass
class Section:
    """A heading with text, tables, plots and samples of text, in this order."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    samples: list[tuple[str, str]] = field(default_factory=list)


def bar_plot(
    labels: Sequence[str],
    values: Sequence[float],
    *,
    ylabel: str,
    caption: str,
    ours: Sequence[int] = (),
    log: bool = False,
    number: str = "{:.3g}",
) -> Plot:
    """Vertical bars with their values on top.

    Args:
        labels, values: one per bar.
        ours: positions of the bars to set off.
        log: logarithmic axis.
        number: format of the values.
    """
    figure = Figure(figsize=(max(4.0, 1.15 * len(labels)), 2.9))
    axes = figure.subplots()
    colours = [ACCENT if position in ours else QUIET for position in range(len(values))]
    bars = axes.bar(range(len(values)), values, color=colours, width=0.65)
    axes.bar_label(bars, [number.format(value) for value in values], padding=2, fontsize=9)
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylabel(ylabel)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(top=max(values) * 3)
    else:
        axes.set_ylim(0, max(values) * 1.15)
    axes.spines[["top", "right"]].set_visible(False)
    return Plot(png_bytes(figure, bbox_inches="tight"), caption)


def stacked_plot(
    labels: Sequence[str], parts: dict[str, Sequence[float]], *, ylabel: str, caption: str, number: str = "{:.3g}"
) -> Plot:
    """Vertical bars made of named parts, with the totals on top.

    Args:
        labels: one per bar.
        parts: name of a part -> one value per bar.
    """
    figure = Figure(figsize=(max(4.5, 1.25 * len(labels) + 1.5), 3.0))
    axes = figure.subplots()
    bottom = [0.0] * len(labels)
    colours = matplotlib.colormaps["tab10"]
    for position, (name, values) in enumerate(parts.items()):
        colour = colours(position % colours.N)
        bars = axes.bar(range(len(labels)), values, bottom=bottom, color=colour, width=0.65, label=name)
        bottom = [b + v for b, v in zip(bottom, values, strict=True)]
    axes.bar_label(bars, [number.format(total) for total in bottom], padding=2, fontsize=9)
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylabel(ylabel)
    axes.set_ylim(0, max(bottom) * 1.15)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return Plot(png_bytes(figure, bbox_inches="tight"), caption)


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Render the page; it appears whole or not at all.

    Raises:
        OSError: the place cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.j2").render(title=title, lead=lead, sections=sections)
    write_text(path, page)
