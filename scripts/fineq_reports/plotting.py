"""What all pictures share: no display, equal pictures in equal bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")

DPI = 130
ACCENT, QUIET = "#1f5fa8", "#9aa5b1"
"""Colours of ours and of what is compared with it."""


def save_png(figure: Figure, file: Path | io.BytesIO, dpi: float | None = DPI, **options: Any) -> None:
    """Write a picture without date or software version. None: the resolution of the figure itself."""
    figure.savefig(file, format="png", dpi="figure" if dpi is None else dpi, metadata={"Software": None}, **options)


def png_bytes(figure: Figure, dpi: float | None = DPI, **options: Any) -> bytes:
    """A picture as `save_png` writes it."""
    buffer = io.BytesIO()
    save_png(figure, buffer, dpi, **options)
    return buffer.getvalue()
