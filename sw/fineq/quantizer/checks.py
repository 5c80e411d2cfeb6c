"""Checks of the matrices that quantizers are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fineq.common.errors import FineqError

FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def as_tensor(values: Any, name: str) -> Tensor:
    """What a caller gave as a plain tensor, without gradient: a tensor, or what numpy makes an array of.

    Arrays in another byte order, read-only or with negative strides are copied, because torch does not take them.

    Raises:
        FineqError: it is nothing of the kind, or a tensor without values of its own (meta, sparse, not initialized).
    """
    if isinstance(values, nn.Module):
        raise FineqError(f"{name} is a {type(values).__name__}: give its .weight")
    if not isinstance(values, Tensor):
        values = torch.from_numpy(_native_array(values, name))
    if nn.parameter.is_lazy(values):
        raise FineqError(f"{name} is an uninitialized parameter: run the model once, so that it gets its shape")
    if values.is_meta:
        raise FineqError(f"{name} is on the meta device, without values: load the model with memory for its weights")
    if values.is_nested:
        raise FineqError(f"{name} is a nested tensor: give a matrix")
    if values.layout != torch.strided:
        raise FineqError(f"{name} is sparse: give its to_dense()")
    return values.detach()


def _native_array(values: Any, name: str) -> np.ndarray:
    """An array that torch takes: numbers in the machine's byte order, writable, strides forward."""
    kind = type(values).__name__
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise FineqError(f"{name} hides values behind a mask: fill them in, as .filled(0) does")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):
        raise FineqError(f"{name} is a {kind}: give a matrix of floating-point numbers") from None
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        is_array = isinstance(values, np.ndarray)
        raise FineqError(
            f"{name} is a {kind}{f' of {array.dtype}' if is_array else ''}: give a matrix of floating-point numbers"
        )
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return array


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
