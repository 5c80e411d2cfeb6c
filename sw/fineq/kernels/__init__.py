"""Native CPU kernels for what takes time: quantize and pack, unpack, multiply by packed weights.

They are C++ sources, compiled on first use (`fineq.kernels.build`). Everything they do, the rest of the package
does without them, only slower: quantize and unpack give the same bytes, the product the same up to rounding. So
each function here returns None when the kernels cannot do the job, and its caller goes the other way.

Set FINEQ_NATIVE=0 to do without. This package needs numpy only; torch tensors come as they are.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fineq import format as block_format
from fineq.kernels.build import KernelError, load_kernel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from fineq.quantizer.recipes import Recipe

CONTRACTION = {"quantize": "off", "cycle_aware": "off", "unpack": "off", "linear": "fast"}
"""Kernels, and whether they may fuse a product with a sum. The quantizer may not: its bytes are defined."""

WEIGHTS_PER_THREAD = 1 << 16
"""Below this much work a thread costs more than it saves."""

LINEAR_TOKENS = 64
"""With more tokens than this a product of unpacked weights is at least as fast as the kernel."""


def available() -> bool:
    """Whether the kernels are in use. Compiles them if that has not been done yet."""
    return reason() is None


def reason() -> str | None:
    """Why the kernels are not in use, or None."""
    if os.environ.get("FINEQ_NATIVE") == "0":
        return "FINEQ_NATIVE is 0"
    return next((problem for name in CONTRACTION if isinstance(problem := _library(name), str)), None)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `torch.empty` on the CPU, in memory of numpy: it asks the system for huge pages.

    A large result is written once, and mapping it in small pages takes longer than computing it.
    """
    import torch

    size = int(np.prod(shape)) * dtype.itemsize
    return torch.from_numpy(np.empty(size, np.uint8)).view(dtype).view(shape)


def thread_count(work: int) -> int:
    """Threads for a piece of work, in weights: at most as many as torch may use."""
    torch = sys.modules.get("torch")
    return max(1, min(torch.get_num_threads() if torch else os.cpu_count() or 1, work // WEIGHTS_PER_THREAD))


# -- quantize --------------------------------------------------------------------------------------------------


def quantize_rows(channels: Tensor, recipe: Recipe, blocks: Tensor, scales: Tensor) -> int | None:
    """Quantize and pack rows.

    Args:
        channels: float32, float16 or bfloat16 [rows, K] on the CPU, any distance between rows.
        recipe: what to do.
        blocks, scales: contiguous uint8 [rows, 7*ceil(K/24)] and float32 [rows]; filled.

    Returns:
        The first row that holds NaN or infinity (the output is of no use then), -1 if none does, None if the
        kernel cannot do it.
    """
    import torch

    from fineq.quantizer.cycle_aware import scale_grid
    from fineq.quantizer.vectorised import SCALE_GRID

    types = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
    rows, length = channels.shape
    is_row_wise = channels.stride(1) == 1 or length == 1
    if channels.device.type != "cpu" or channels.dtype not in types or not is_row_wise:
        return None
    library = _kernel("cycle_aware" if recipe.cycle_weight else "quantize")
    if library is None:
        return None
    before = (
        ctypes.c_void_p(channels.data_ptr()),
        types[channels.dtype],
        _int64(rows),
        _int64(length),
        _int64(channels.stride(0) * channels.element_size()),
    )
    after = (ctypes.c_void_p(blocks.data_ptr()), ctypes.c_void_p(scales.data_ptr()), thread_count(rows * length))
    if recipe.cycle_weight:
        options, cycles = _options(recipe, scale_grid(recipe)), _cycle_options(recipe, length)
        return library.fineq_quantize_by_cycles(*before, ctypes.byref(options), ctypes.byref(cycles), *after)
    options = _options(recipe, SCALE_GRID if recipe.scale == "mse" else ())
    return library.fineq_quantize(*before, ctypes.byref(options), *after)


class _Options(ctypes.Structure):
    """`Options` of pairs.h."""

    _fields_ = [
        ("is_signed", ctypes.c_int32),
        ("is_argmin", ctypes.c_int32),
        ("is_squared", ctypes.c_int32),
        ("threshold", ctypes.c_float),
        ("smallest_scale", ctypes.c_float),
        ("loss_unit", ctypes.c_float),
        ("grid", ctypes.POINTER(ctypes.c_int32)),
        ("grid_length", ctypes.c_int32),
        ("grid_denominator", ctypes.c_int32),
        ("payloads", ctypes.c_void_p),
    ]


class _CycleOptions(ctypes.Structure):
    """`CycleOptions` of cycle_aware.cpp."""

    _fields_ = [
        ("largest", ctypes.POINTER(ctypes.c_int32)),
        ("cycles", ctypes.POINTER(ctypes.c_int32)),
        ("count", ctypes.c_int32),
        ("columns", ctypes.c_int64),
        ("worth", ctypes.c_double),
    ]


def _options(recipe: Recipe, grid: tuple[int, ...]) -> _Options:
    from fineq.quantizer.vectorised import LOSS_UNIT, SCALE_GRID_DENOMINATOR, SMALLEST_SCALE

    return _Options(
        recipe.comparison == "signed",
        recipe.pairs == "argmin",
        recipe.loss == "squared",
        recipe.threshold,
        SMALLEST_SCALE,
        LOSS_UNIT,
        _int32s(grid),
        len(grid),
        SCALE_GRID_DENOMINATOR,
        block_format.encode_table().ctypes.data,
    )


def _cycle_options(recipe: Recipe, length: int) -> _CycleOptions:
    from fineq.quantizer.cycle_aware import allowances, cycle_worth

    choice = allowances(recipe.encoding)
    largest, cycles = ([getattr(each, what) for each in choice] for what in ("largest", "cycles"))
    return _CycleOptions(_int32s(largest), _int32s(cycles), len(choice), recipe.columns, cycle_worth(recipe, length))


def _int32s(values: Iterable[int]) -> Any:
    values = list(values)
    return (ctypes.c_int32 * len(values))(*values)


# -- unpack ----------------------------------------------------------------------------------------------------


def unpack(blocks: np.ndarray, inner_dimension: int, strict: bool) -> np.ndarray | None:
    """As `fineq.format.unpack`, for blocks of the right type and shape.

    Returns:
        Codes int8 [rows, K]; None if the kernel cannot do it, or if strict and something is irregular.
    """
    library = _kernel("unpack")
    if library is None:
        return None
    blocks = np.ascontiguousarray(blocks)
    codes = np.empty((len(blocks), inner_dimension), np.int8)
    irregular = library.fineq_unpack(
        ctypes.c_void_p(blocks.ctypes.data),
        ctypes.c_void_p(_weight_table().ctypes.data),
        ctypes.c_void_p(codes.ctypes.data),
        _int64(len(blocks)),
        _int64(inner_dimension),
        thread_count(codes.size),
    )
    return None if strict and irregular else codes


def dequantize(blocks: Tensor, scales: Tensor, length: int, dtype: torch.dtype) -> Tensor | None:
    """Values code * scale in float32, rounded to `dtype`: [rows, length]; None if the kernel cannot do it.

    Args:
        blocks, scales: uint8 [rows, 7*ceil(length/24)] and float32 [rows].
    """
    import torch

    if not _is_packed(blocks, scales, length) or dtype.itemsize not in (2, 4, 8) or torch.compiler.is_compiling():
        return None
    library = _kernel("unpack")
    if library is None:
        return None
    blocks = blocks.contiguous()
    codes = torch.arange(-block_format.MAX_MAGNITUDE, block_format.MAX_MAGNITUDE + 1, dtype=torch.float32)
    values = (codes * scales.detach()[:, None]).to(dtype)
    output = empty((len(blocks), length), dtype)
    library.fineq_dequantize(
        ctypes.c_void_p(blocks.data_ptr()),
        ctypes.c_void_p(_weight_table().ctypes.data),
        ctypes.c_void_p(values.data_ptr()),
        values.element_size(),
        ctypes.c_void_p(output.data_ptr()),
        _int64(len(blocks)),
        _int64(length),
        thread_count(output.numel()),
    )
    return output


# -- multiply --------------------------------------------------------------------------------------------------


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
    if not _is_packed(blocks, scales, length):
        return None
    if not 0 < tokens <= LINEAR_TOKENS or x.shape[-1] != length or torch.compiler.is_compiling():
        return None
    if torch.is_grad_enabled() and x.requires_grad:
        return None
    library = _kernel("linear")
    if library is None:
        return None
    flat = x.detach().reshape(tokens, length).to(torch.float32).contiguous()
    blocks, scales = blocks.contiguous(), scales.contiguous()
    y = empty((tokens, len(blocks)), torch.float32)
    library.fineq_linear(
        ctypes.c_void_p(flat.data_ptr()),
        ctypes.c_void_p(blocks.data_ptr()),
        ctypes.c_void_p(scales.data_ptr()),
        ctypes.c_void_p(_value_table().ctypes.data),
        ctypes.c_void_p(y.data_ptr()),
        _int64(tokens),
        _int64(len(blocks)),
        _int64(length),
        thread_count(tokens * len(blocks) * length),
    )
    return y.to(x.dtype).view(*x.shape[:-1], len(blocks))


# -- helpers ---------------------------------------------------------------------------------------------------

_int64 = ctypes.c_int64


def _is_packed(blocks: Tensor, scales: Tensor, length: int) -> bool:
    """Whether the kernels may read these: they check nothing themselves."""
    import torch

    return (
        blocks.device.type == scales.device.type == "cpu"
        and blocks.dtype == torch.uint8
        and scales.dtype == torch.float32
        and blocks.shape == (len(scales), block_format.bytes_per_row(length))
    )


def _kernel(name: str) -> ctypes.CDLL | None:
    if os.environ.get("FINEQ_NATIVE") == "0":
        return None
    library = _library(name)
    return None if isinstance(library, str) else library


@cache
def _library(name: str) -> ctypes.CDLL | str:
    """The compiled kernel, or why there is none."""
    try:
        library: Any = load_kernel(name, CONTRACTION[name])
    except KernelError as error:
        return str(error)
    if name == "quantize":
        library.fineq_quantize.restype = ctypes.c_int64
    if name == "cycle_aware":
        library.fineq_quantize_by_cycles.restype = ctypes.c_int64
    return library


@cache
def _weight_table() -> np.ndarray:
    """Four bytes by [64 * index code + payload]: the three weights, and whether one is stored as minus zero."""
    weights, minus_zero = block_format.decode_tables()
    return np.concatenate([weights, minus_zero.any(axis=1, keepdims=True).astype(np.int8)], axis=1)


@cache
def _value_table() -> np.ndarray:
    """The three weights and a zero, float32, by [64 * index code + payload]."""
    weights, _ = block_format.decode_tables()
    return np.pad(weights, ((0, 0), (0, 1))).astype(np.float32)
