"""Codes and values of packed weights."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from fineq import format as block_format
from fineq.kernels import libraries
from fineq.kernels.libraries import address

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def unpack(blocks: np.ndarray, inner_dimension: int, strict: bool) -> np.ndarray | None:
    """As `fineq.format.unpack`, for blocks of the right type and shape.

    Returns:
        Codes int8 [rows, K]; None if the kernel cannot do it, or if strict and something is irregular.
    """
    library = libraries.kernel("unpack")
    if library is None:
        return None
    blocks = np.ascontiguousarray(blocks)
    codes = np.empty((len(blocks), inner_dimension), np.int8)
    irregular = library.fineq_unpack(
        address(blocks),
        address(weight_table()),
        address(codes),
        ctypes.c_int64(len(blocks)),
        ctypes.c_int64(inner_dimension),
        libraries.thread_count(codes.size),
    )
    return None if strict and irregular else codes


def dequantize(blocks: Tensor, scales: Tensor, length: int, dtype: torch.dtype) -> Tensor | None:
    """Values code * scale in float32, rounded to `dtype`: [rows, length]; None if the kernel cannot do it.

    Args:
        blocks, scales: uint8 [rows, 7*ceil(length/24)] and float32 [rows].
    """
    import torch

    if not is_packed(blocks, scales, length) or dtype.itemsize not in (2, 4, 8) or torch.compiler.is_compiling():
        return None
    library = libraries.kernel("unpack")
    if library is None:
        return None
    blocks = blocks.contiguous()
    codes = torch.arange(-block_format.MAX_MAGNITUDE, block_format.MAX_MAGNITUDE + 1, dtype=torch.float32)
    values = (codes * scales.detach()[:, None]).to(dtype)
    output = libraries.empty((len(blocks), length), dtype)
    library.fineq_dequantize(
        address(blocks),
        address(weight_table()),
        address(values),
        values.element_size(),
        address(output),
        ctypes.c_int64(len(blocks)),
        ctypes.c_int64(length),
        libraries.thread_count(output.numel()),
    )
    return output


def is_packed(blocks: Tensor, scales: Tensor, length: int) -> bool:
    """Whether the kernels may read these: they check nothing themselves."""
    import torch

    return (
        blocks.is_cpu
        and scales.is_cpu
        and blocks.dtype == torch.uint8
        and scales.dtype == torch.float32
        and blocks.dim() == 2
        and scales.dim() == 1
        and blocks.shape[0] == scales.shape[0]
        and blocks.shape[1] == block_format.bytes_per_row(length)
    )


@cache
def weight_table() -> np.ndarray:
    """Four bytes by [64 * index code + payload]: the three weights, and whether one is stored as minus zero."""
    weights, minus_zero = block_format.decode_tables()
    return np.concatenate([weights, minus_zero.any(axis=1, keepdims=True).astype(np.int8)], axis=1)


@cache
def value_table() -> np.ndarray:
    """The three weights and a zero, float32, by [64 * index code + payload]."""
    weights, _ = block_format.decode_tables()
    return np.pad(weights, ((0, 0), (0, 1))).astype(np.float32)
