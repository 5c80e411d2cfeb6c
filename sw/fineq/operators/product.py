"""Products with packed weights, on tensors that are there: what the operators do when they run."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fineq import kernels
from fineq.format import MAX_MAGNITUDE
from fineq.operators.decoding import decode
from fineq.quantizer.activations import MAX_ACTIVATION, quantize_activations
from fineq.quantizer.arithmetic import SMALLEST_SCALE

DECODED_WEIGHTS = 1 << 22
"""Weights that are unpacked at once: bounds the memory that a product takes beyond the packed weights."""

EXACT_COLUMNS = (1 << 24) // (MAX_ACTIVATION * MAX_MAGNITUDE)
"""Products of activations and codes that sum up exactly in float32, in any order."""


def gpu_kernels() -> Any | None:
    """The Triton kernels, if FINEQ_TRITON=1 asks for them and Triton is there."""
    if os.environ.get("FINEQ_TRITON") != "1" or importlib.util.find_spec("triton") is None:
        return None
    from fineq.operators import gpu

    return gpu


def product(x: Tensor, blocks: Tensor, scales: Tensor, rows: int, columns: int, axis: str) -> Tensor:
    """x [..., columns] times the transposed matrix [rows, columns]: [..., rows] in the type of x.

    The weights are code * scale in float32, rounded to the type of x.
    """
    if axis == "column":
        return functional.linear(x, decode(blocks, scales, rows).T.to(x.dtype))
    y = kernels.linear(x, blocks, scales, columns)
    if y is not None:
        return y
    if x.is_cuda and x.dtype != torch.float64 and (gpu := gpu_kernels()):
        return gpu.product(x.reshape(-1, columns), blocks, scales).to(x.dtype).view(*x.shape[:-1], rows)
    step = max(1, DECODED_WEIGHTS // columns)
    parts = [
        functional.linear(x, decode(blocks[start : start + step], scales[start : start + step], columns).to(x.dtype))
        for start in range(0, rows, step)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def transposed_product(x: Tensor, blocks: Tensor, scales: Tensor, rows: int, columns: int, axis: str) -> Tensor:
    """x [..., rows] times the matrix [rows, columns]: [..., columns], what the gradient of `product` is made with."""
    if axis == "column":
        return x @ decode(blocks, scales, rows).T.to(x.dtype)
    step = max(1, DECODED_WEIGHTS // columns)
    total = x.new_zeros(*x.shape[:-1], columns)
    for start in range(0, rows, step):
        weights = decode(blocks[start : start + step], scales[start : start + step], columns)
        total += x[..., start : start + step] @ weights.to(x.dtype)
    return total


def integer_product(x: Tensor, blocks: Tensor, scales: Tensor, columns: int) -> Tensor:
    """The product with int8 activations, one scale a token: sums of integers, then both scales.

    Returns:
        [..., rows] in the type of x: float32 (sum * scale of the token) * scale of the row, rounded to that type. A
        token with NaN or infinity becomes NaN.
    """
    y = kernels.linear_integer(x, blocks, scales, columns, MAX_ACTIVATION, SMALLEST_SCALE)
    return integer_reference(x, blocks, scales, columns) if y is None else y


def integer_reference(x: Tensor, blocks: Tensor, scales: Tensor, columns: int) -> Tensor:
    """`integer_product` by torch alone, on any device, with the same bits."""
    values = x.to(torch.float32).reshape(-1, columns)
    if not len(values):
        return x.new_empty(*x.shape[:-1], len(blocks))
    is_finite = values.isfinite().all(dim=-1)
    integers, token_scales = quantize_activations(values.where(is_finite[:, None], torch.zeros_like(values)))
    token_scales = token_scales.where(is_finite, torch.full_like(token_scales, torch.nan))
    if x.is_cuda and (gpu := gpu_kernels()):
        y = gpu.product(integers, blocks, scales, token_scales)
        return y.to(x.dtype).view(*x.shape[:-1], len(blocks))
    ones, step = torch.ones_like(scales), max(1, DECODED_WEIGHTS // columns)
    parts = []
    for start in range(0, len(blocks), step):
        codes = decode(blocks[start : start + step], ones[start : start + step], columns)
        sums = torch.zeros(len(values), len(codes), dtype=torch.int32, device=x.device)
        for first in range(0, columns, EXACT_COLUMNS):
            piece = slice(first, first + EXACT_COLUMNS)
            sums += (integers[:, piece].to(torch.float32) @ codes[:, piece].T).to(torch.int32)
        parts.append(sums)
    y = torch.cat(parts, dim=-1).to(torch.float32) * token_scales[:, None] * scales
    return y.to(x.dtype).view(*x.shape[:-1], len(blocks))
