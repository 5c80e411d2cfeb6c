"""The compiled kernels, whether they may be used, and what all calls of them need."""

from __future__ import annotations

import ctypes
import math
import os
import sys
import warnings
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fineq.kernels.build import KernelError, load_kernel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CONTRACTION = {
    "quantize": "off",
    "cycle_aware": "off",
    "solve": "off",
    "unpack": "off",
    "measure": "off",
    "linear": "fast",
}
"""Kernels, and whether they may fuse a product with a sum. The quantizers may not: their bytes are defined."""

HUGE_PAGE = 1 << 21
"""Bytes; smaller results gain nothing from huge pages."""

WEIGHTS_PER_THREAD = 1 << 16
"""Below this much work a thread costs more than it saves."""


def available() -> bool:
    """Whether the kernels are in use. Compiles them if that has not been done yet."""
    return reason() is None


def reason() -> str | None:
    """Why the kernels are not in use, or None."""
    if os.environ.get("FINEQ_NATIVE") == "0":
        return "FINEQ_NATIVE is 0"
    return next((problem for name in CONTRACTION if isinstance(problem := compiled(name), str)), None)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `torch.empty` on the CPU, in memory of numpy: it asks the system for huge pages.

    A large result is written once, and mapping it in small pages takes longer than computing it.
    """
    import torch

    size = math.prod(shape) * dtype.itemsize
    if size < HUGE_PAGE:
        return torch.empty(shape, dtype=dtype, device="cpu")
    return torch.from_numpy(np.empty(size, np.uint8)).view(dtype).view(shape)


def thread_count(work: int) -> int:
    """Threads for a piece of work, in weights: at most as many as torch may use."""
    if work < 2 * WEIGHTS_PER_THREAD:
        return 1
    torch = sys.modules.get("torch")
    return min(torch.get_num_threads() if torch else os.cpu_count() or 1, work // WEIGHTS_PER_THREAD)


def kernel(name: str) -> ctypes.CDLL | None:
    """The compiled kernel of a name of `CONTRACTION`; None if it cannot be used."""
    if os.environ.get("FINEQ_NATIVE") == "0":
        return None
    library = compiled(name)
    return None if isinstance(library, str) else library


@cache
def compiled(name: str) -> ctypes.CDLL | str:
    """The compiled kernel, or why there is none."""
    try:
        library: Any = load_kernel(name, CONTRACTION[name])
    except KernelError as error:
        warnings.warn(
            f"FineQ runs without its compiled kernels, many times slower: {error}", RuntimeWarning, stacklevel=2
        )
        return str(error)
    if name == "quantize":
        library.fineq_quantize.restype = ctypes.c_int64
    if name == "cycle_aware":
        library.fineq_quantize_by_cycles.restype = ctypes.c_int64
    return library


def address(tensor: Tensor | np.ndarray) -> ctypes.c_void_p:
    """Where the values of an array or a tensor begin."""
    return ctypes.c_void_p(tensor.ctypes.data if isinstance(tensor, np.ndarray) else tensor.data_ptr())


def int32s(values: Iterable[int]) -> Any:
    """An array of C integers."""
    values = list(values)
    return (ctypes.c_int32 * len(values))(*values)
