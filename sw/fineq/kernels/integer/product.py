"""The call of the compiled integer product."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int32, c_int64, c_void_p
from functools import cache
from typing import TYPE_CHECKING, Any

from fineq.kernels import libraries
from fineq.kernels.decoding import is_packed, weight_table
from fineq.kernels.integer.paths import library

if TYPE_CHECKING:
    from torch import Tensor

MAX_LENGTH = 1 << 21
"""Longest row: sums of magnitude 127 * 6 each, offsets of the paths included, stay within 32 bits."""

ARGUMENTS: Any = (*[c_void_p] * 5, *[c_int64] * 3, *[c_float] * 2, c_int32)


def linear_integer(
    x: Tensor,
    blocks: Tensor,
    scales: Tensor,
    length: int,
    largest: int,
    smallest_scale: float,
    path: str | None = None,
) -> Tensor | None:
    """Activations, made integers token by token, times the transposed packed matrix.

    Args:
        x: floating point [..., length].
        blocks, scales: uint8 [rows, 7*ceil(length/24)] and float32 [rows].
        largest: magnitude of an integer activation, at most 127.
        smallest_scale: a token whose scale is below counts as zeros.
        path: forces one of `fineq.kernels.integer.paths`.

    Returns:
        [..., rows] in the type of x: float32 (sum * scale of the token) * scale of the row, rounded to that type. A
        token with NaN or infinity becomes NaN. None if the kernel cannot do it: not on the CPU, longer rows, no
        compiler.
    """
    import torch

    compiled = library(path)
    if compiled is None or not x.is_cpu or x.shape[-1] != length or length > MAX_LENGTH:
        return None
    if not is_packed(blocks, scales, length):
        return None
    flat = x.detach() if x.requires_grad else x
    if flat.dtype != torch.float32:
        flat = flat.to(torch.float32)
    flat, blocks, scales = flat.contiguous(), blocks.contiguous(), scales.contiguous()
    tokens, rows = flat.numel() // length, blocks.shape[0]
    y = libraries.empty((*x.shape[:-1], rows), torch.float32)
    _function(compiled)(
        flat.data_ptr(),
        blocks.data_ptr(),
        scales.data_ptr(),
        _table_address(),
        y.data_ptr(),
        tokens,
        rows,
        length,
        largest,
        smallest_scale,
        libraries.thread_count(tokens * rows * length),
    )
    return y if x.dtype == torch.float32 else y.to(x.dtype)


@cache
def _function(compiled: ctypes.CDLL) -> ctypes._NamedFuncPointer:
    function = compiled.fineq_linear_integer
    function.argtypes, function.restype = ARGUMENTS, None
    return function


@cache
def _table_address() -> int:
    return weight_table().ctypes.data
