"""Checks of the matrices that quantizers are given."""

from __future__ import annotations

import torch
from torch import Tensor

from fineq.common.errors import FineqError

FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def check_matrix(weight: Tensor, name: str) -> None:
    """Raise unless `weight` is a floating-point matrix with at least one row and one column."""
    if weight.dtype not in FLOAT_TYPES:
        dtype = str(weight.dtype).removeprefix("torch.")
        raise FineqError(f"{name} is {dtype}: it must be float32, float16, bfloat16 or float64")
    if weight.ndim != 2:
        raise FineqError(f"{name} has shape {list(weight.shape)}: it must be a matrix of shape [rows, columns]")
    if 0 in weight.shape:
        raise FineqError(f"{name} has shape {list(weight.shape)}: it must have at least one row and one column")


def float_matrix(weight: Tensor, name: str) -> Tensor:
    """`weight` in float32, after the checks that every quantizer makes: a matrix, floating-point, finite."""
    check_matrix(weight, name)
    weight = weight.to(torch.float32)
    check_finite(weight, name)
    return weight


def check_finite(chunk: Tensor, name: str, first_row: int = 0, transposed: bool = False) -> None:
    """Raise with the position of the first NaN or infinity."""
    finite = torch.isfinite(chunk)
    if not finite.all():
        row, column = (~finite).nonzero()[0].tolist()
        position = [row + first_row, column][:: -1 if transposed else 1]
        value = "NaN" if chunk[row, column].isnan() else "infinite"
        raise FineqError(f"{name}{position} is {value}: all weights must be finite float32 numbers")
