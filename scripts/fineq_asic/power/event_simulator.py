"""The event-driven simulator of `glitches`, in C++: compiled once for each version of its source."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import replacing
from fineq.common.tools import find_tool
from fineq_asic.errors import SynthesisError
from fineq_sim.runs.runner import default_cache

CODE_FILES = ("event_simulator.cpp",)
SOURCE = Path(__file__).with_name(*CODE_FILES)
FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC")


def load_event_simulator() -> ctypes.CDLL:
    """The library of `event_simulator.cpp`, compiled if it has to be.

    Raises:
        SynthesisError: g++ is missing, or it fails.
    """
    compiler = find_tool("g++", "g++", "install a C++ compiler to run netlists with delays", error=SynthesisError)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    library = default_cache() / f"event-simulator-{cache_key(__name__, inputs=version)}.so"
    if not library.is_file():
        with replacing(library) as aside:
            command = [str(word) for word in (compiler, *FLAGS, "-o", aside, SOURCE)]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise SynthesisError(f"the event simulator does not compile: {result.stderr.strip().splitlines()[0]}")
    return ctypes.CDLL(str(library))
