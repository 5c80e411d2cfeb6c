"""Compiles the cycle-level twin on first use and keeps the result, as `fineq.kernels.build` does with the kernels."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.kernels.build import (
    FLAGS,
    KernelError,
    cache_directory,
    compile_source,
    find_compiler,
    is_intact,
    processor,
    run,
)
from fineq_sim.driver.memory_timing import TIMING_HEADER

CODE_FILES = ("machine/*.hpp", "machine/twin.cpp")

SOURCE = Path(__file__).parent / CODE_FILES[1]


class TwinError(FineqError):
    """The twin cannot be used; the text says why."""


@cache
def library() -> ctypes.CDLL:
    """The twin, compiled if it has to be.

    Raises:
        TwinError: no compiler, it fails, or the cache directory cannot be written.
    """
    try:
        compiler = find_compiler()
        inputs = [compiler, FLAGS, run([*compiler, "--version"]), processor()]
        target = cache_directory() / f"twin-{cache_key(__name__, inputs=inputs, files=[TIMING_HEADER])}.so"
        if not is_intact(target):
            compile_source(SOURCE, compiler, list(FLAGS), target)
        found = ctypes.CDLL(str(target))
    except (KernelError, OSError) as error:
        raise TwinError(f"the exact engine is a C++ program that is compiled on first use: {error}") from error
    for name in ("constant", "job", "counter", "memory"):
        getattr(found, f"fineq_{name}_names").restype = ctypes.c_char_p
    return found


def names(what: str) -> tuple[str, ...]:
    """Names of the numbers that the twin takes or gives, in its order.

    Args:
        what: constant, job, memory or counter.
    """
    return tuple(getattr(library(), f"fineq_{what}_names")().decode().rstrip(",").split(","))
