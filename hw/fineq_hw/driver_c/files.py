"""Writes the C driver: the interface made here, and the library that is shipped as it is."""

from __future__ import annotations

from pathlib import Path

from fineq.common.files import write_text
from fineq_hw.driver_c.interface import HEADER, SOURCE, header, source

CODE_FILES = (
    "library/fineq.h",
    "library/fineq_private.h",
    "library/fineq.c",
    "library/fineq_order.c",
    "library/fineq_layers.c",
    "library/fineq_jobs.c",
)
"""The library on top of the interface."""

SOURCES = (*(Path(name).name for name in CODE_FILES if name.endswith(".c")), SOURCE)
"""What has to be compiled."""


def driver_texts() -> dict[str, str]:
    """Text of every file of the driver by its name."""
    here = Path(__file__).parent
    texts = {Path(name).name: (here / name).read_text(encoding="utf-8") for name in CODE_FILES}
    return texts | {HEADER: header(), SOURCE: source()}


def write_driver(directory: Path) -> list[Path]:
    """Write the driver; older files of the same names are replaced.

    Raises:
        OSError: the directory cannot be written.
    """
    return [write_text(directory / name, text) for name, text in sorted(driver_texts().items())]
