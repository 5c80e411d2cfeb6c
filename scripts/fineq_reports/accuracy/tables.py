"""Write a table or figure as Markdown, CSV and PNG, and show it on the terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fineq.common.errors import FineqError
from fineq.common.files import write_bytes
from fineq.common.markdown import table
from fineq_reports.accuracy.cells import Cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CSV_COLUMNS = (
    "model", "model_fingerprint", "method", "nominal_bits", "bits_per_weight", "normalised_error", "calibration",
    "text", "text_sha256", "sequence_length", "bos", "windows", "scored_tokens", "dtype", "nll", "perplexity",
)  # fmt: skip
"""What a row says about a cell; those of the evaluation and those of its result."""


@dataclass(frozen=True)
class Section:
    """One table."""

    title: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Report:
    """A table or figure, ready to be written."""

    name: str
    """Stem of the files."""
    title: str
    sections: list[Section]
    notes: list[str] = field(default_factory=list)
    records: list[dict[str, object]] = field(default_factory=list)
    """Rows of the CSV file, all with the same keys."""
    draw: Callable[[Figure], None] | None = None
    """Fills the picture; None: there is none."""

    def markdown(self) -> str:
        """The whole report; a name by that the picture is found beside it."""
        parts = [f"# {self.title}", *self.notes]
        if self.draw:
            parts.append(f"![{self.title}]({self.name}.png)")
        for section in self.sections:
            parts += [f"## {section.title}", table(section.header, section.rows).rstrip()]
        return "\n\n".join(parts) + "\n"

    def csv(self) -> str:
        """The figures behind the tables."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, list(self.records[0]) if self.records else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.records)
        return stream.getvalue()


def cell_records(cells: list[Cell]) -> list[dict[str, object]]:
    """Rows for `Report.records`."""
    rows = []
    for cell in cells:
        known = {**cell.record, **cell.record["result"]}
        rows.append({column: "" if known[column] is None else known[column] for column in CSV_COLUMNS})
    return rows


def write_report(report: Report, directory: Path) -> list[Path]:
    """Write NAME.md, NAME.csv and NAME.png; each appears whole or not at all. Same report, same bytes."""
    contents: dict[str, bytes] = {"md": report.markdown().encode(), "csv": report.csv().encode()}
    if report.draw:
        contents["png"] = drawn(report.draw)
    paths = []
    try:
        for suffix, content in contents.items():
            paths.append(write_bytes(Path(directory) / f"{report.name}.{suffix}", content))
    except OSError as error:
        raise FineqError(f"cannot write to {directory}: {error.strerror}") from error
    return paths


def drawn(draw: Callable[[Figure], None]) -> bytes:
    """The picture, in the style of all."""
    from matplotlib.figure import Figure

    from fineq_reports.plotting import png_bytes, styled

    with styled():
        figure = Figure(layout="constrained")
        draw(figure)
        return png_bytes(figure)


def show_report(report: Report) -> None:
    """Print the tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for section in report.sections:
        table = Table(title=section.title, title_justify="left", title_style="bold")
        for number, name in enumerate(section.header):
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)


def number(value: float | None, digits: int = 4) -> str:
    """Short: four significant digits, powers of ten from 10^5 on."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "inf"
    if abs(value) >= 1e5:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
