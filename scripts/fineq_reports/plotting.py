"""What all pictures share: one style, colours that the colour-blind can tell apart, equal pictures in equal bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

matplotlib.use("Agg")

DPI = 130
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#5b6876", "#8c6d1f")
"""Colours of lines and bars, in the order in which they are taken (after Okabe and Ito)."""
ACCENT, QUIET = PALETTE[0], "#9aa5b1"
"""Colours of ours and of what is compared with it."""
WIDTH = 5.4
"""Inches of a picture that is to be read on a phone: wider ones become too small there."""

STYLE: Any = {  # matplotlib names each key in the type
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "fineq",
}


@contextmanager
def styled() -> Iterator[None]:
    """The style of all pictures, while one is drawn."""
    with matplotlib.rc_context(STYLE):
        yield


def plain_logarithmic(axis: Any, places: tuple[float, ...] = (1, 2, 5)) -> None:
    """Ticks of a logarithmic axis as people write them: 0.5, 1, 20, 1,000; from a million on as powers of ten.

    Args:
        axis: `axes.xaxis` or `axes.yaxis`.
        places: within each power of ten; few where the axis spans many of them.
    """

    def said(value: float, _: int) -> str:
        if value >= 1e6:
            return f"$10^{{{len(f'{value:.0f}') - 1}}}$"
        return f"{value:,.10g}"

    axis.set_major_locator(LogLocator(base=10, subs=places, numticks=20))
    axis.set_major_formatter(FuncFormatter(said))
    axis.set_minor_formatter(NullFormatter())


def save_png(figure: Figure, file: Path | io.BytesIO, dpi: float | None = DPI, **options: Any) -> None:
    """Write a picture without date or software version. None: the resolution of the figure itself."""
    figure.savefig(file, format="png", dpi="figure" if dpi is None else dpi, metadata={"Software": None}, **options)


def png_bytes(figure: Figure, dpi: float | None = DPI, **options: Any) -> bytes:
    """A picture as `save_png` writes it."""
    buffer = io.BytesIO()
    save_png(figure, buffer, dpi, **options)
    return buffer.getvalue()
