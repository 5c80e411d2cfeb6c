"""The product of activations with packed weights, which are never unpacked as a whole."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p
from functools import cache
from typing import TYPE_CHECKING

from fineq.kernels import libraries
from fineq.kernels.decoding import is_packed, value_table

if TYPE_CHECKING:
    from torch import Tensor

LINEAR_TOKENS = 64
"""With more tokens than this a product of unpacked weights is at least as fast as the kernel."""


def linear(x: Tensor, blocks: Tensor, scales: Tensor, length: int) -> Tensor | None:
    """x times the transposed packed matrix, in float32, rounded to the type of x.

    Args:
        x: floating point [..., length].
        blocks, scales: uint8 [rows, 7*ceil(length/24)] and float32 [rows].

    Returns:
        [..., rows]. None if the kernel cannot do it: not on the CPU, a gradient is wanted, float64, or so many
        tokens that unpacking is better.
    """
    import torch

    tokens = x.numel() // length
    if not x.is_cpu or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return None
    if not is_packed(blocks, scales, length):
        return None
    if not 0 < tokens <= LINEAR_TOKENS or x.shape[-1] != length or torch.compiler.is_compiling():
        return None
    if x.requires_grad and torch.is_grad_enabled():
        return None
    library = libraries.kernel("linear")
    if library is None:
        return None
    flat = x.detach() if x.requires_grad else x
    if flat.dtype != torch.float32:
        flat = flat.to(torch.float32)
    flat, blocks, scales = flat.contiguous(), blocks.contiguous(), scales.contiguous()
    rows = blocks.shape[0]
    y = libraries.empty((*x.shape[:-1], rows), torch.float32)
    _function(library)(
        flat.data_ptr(),
        blocks.data_ptr(),
        scales.data_ptr(),
        _table_address(),
        y.data_ptr(),
        tokens,
        rows,
        length,
        libraries.thread_count(tokens * rows * length),
    )
    return y if x.dtype == torch.float32 else y.to(x.dtype)


@cache
def _function(library: ctypes.CDLL) -> ctypes._NamedFuncPointer:
    function = library.fineq_linear
    function.argtypes, function.restype = [c_void_p] * 5 + [c_int64] * 3 + [c_int32], None
    return function


@cache
def _table_address() -> int:
    return value_table().ctypes.data
