"""The product of activations with packed weights, which are never unpacked as a whole."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from fineq.kernels import libraries
from fineq.kernels.decoding import is_packed, value_table
from fineq.kernels.libraries import address

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
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return None
    if not is_packed(blocks, scales, length):
        return None
    if not 0 < tokens <= LINEAR_TOKENS or x.shape[-1] != length or torch.compiler.is_compiling():
        return None
    if torch.is_grad_enabled() and x.requires_grad:
        return None
    library = libraries.kernel("linear")
    if library is None:
        return None
    flat = x.detach().reshape(tokens, length).to(torch.float32).contiguous()
    blocks, scales = blocks.contiguous(), scales.contiguous()
    y = libraries.empty((tokens, len(blocks)), torch.float32)
    library.fineq_linear(
        address(flat),
        address(blocks),
        address(scales),
        address(value_table()),
        address(y),
        ctypes.c_int64(tokens),
        ctypes.c_int64(len(blocks)),
        ctypes.c_int64(length),
        libraries.thread_count(tokens * len(blocks) * length),
    )
    return y.to(x.dtype).view(*x.shape[:-1], len(blocks))
