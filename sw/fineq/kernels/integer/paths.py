"""The paths of the integer product: what each needs of the processor, and which one is taken."""

from __future__ import annotations

import ctypes
import os
import warnings
from functools import cache
from typing import Any

from fineq.common.errors import FineqError
from fineq.kernels.build import NATIVE, KernelError, load_kernel

CONTRACTION = "off"
"""Scales and roundings of activations are defined bit for bit."""

VARIABLE = "FINEQ_INT8_PATH"
"""Environment variable that forces a path."""

TARGETS: dict[str, tuple[str, ...]] = {
    "avx512": tuple(f"-m{name}" for name in ("avx2", "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vbmi"))
    + ("-mavx512vnni",),
    "avx2": ("-mavx2",),
    "neon": ("-march=armv8.2-a+dotprod",),
    "portable": NATIVE,
}
"""Paths, the fastest first, and the compiler's flags for each. Every path has a header of its name."""

PORTABLE = "portable"


def chosen_path(forced: str | None = None) -> str:
    """The path that products take: the one that is forced, else the fastest that the processor has.

    Args:
        forced: name of a path; None: that of the environment variable FINEQ_INT8_PATH, if it is set.

    Raises:
        FineqError: there is no such path, or the processor cannot run it.
    """
    wanted = forced or os.environ.get(VARIABLE)
    usable = usable_paths()
    if not wanted:
        return usable[0]
    if wanted not in usable:
        known = wanted in TARGETS
        raise FineqError(
            f"the int8 path {wanted!r} {'cannot run on this processor' if known else 'does not exist'}: "
            f"choose one of {', '.join(usable)}"
        )
    return wanted


@cache
def usable_paths() -> tuple[str, ...]:
    """Paths that the processor has, the fastest first.

    Raises:
        KernelError: the program that asks the processor cannot be compiled.
    """
    cpu: Any = load_kernel("integer/cpu", CONTRACTION)
    return tuple(path for path in TARGETS if path == PORTABLE or getattr(cpu, f"fineq_has_{path}")())


def path_target(path: str) -> tuple[str, ...]:
    """Flags that make `integer.cpp` into a path."""
    return (*TARGETS[path], f'-DFINEQ_PATH="{path}.h"')


def library(forced: str | None = None) -> ctypes.CDLL | None:
    """The compiled path; None if the kernels are switched off or cannot be compiled.

    If the compiler does not know the instructions of the fastest path, the next one is taken. The environment variable
    FINEQ_INT8_PATH is read at the first call.

    Raises:
        FineqError: see `chosen_path`; also a path that is forced and cannot be compiled.
    """
    if os.environ.get("FINEQ_NATIVE") == "0":
        return None
    found = _compiled(forced)
    if isinstance(found, KernelError):
        if forced or os.environ.get(VARIABLE):
            raise found
        return None
    return found


@cache
def _compiled(forced: str | None) -> ctypes.CDLL | KernelError:
    wanted, problem = forced or os.environ.get(VARIABLE), KernelError("there is no int8 path")
    try:
        candidates = (chosen_path(wanted),) if wanted else usable_paths()
    except KernelError as error:
        return _told(error)
    for path in candidates:
        try:
            return load_kernel("integer/integer", CONTRACTION, path_target(path))
        except KernelError as error:
            problem = error
    return _told(problem)


def _told(error: KernelError) -> KernelError:
    warnings.warn(f"int8 products run without their compiled kernel, many times slower: {error}", RuntimeWarning, 4)
    return error
