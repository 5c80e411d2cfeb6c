"""Integer activations: symmetric, one scale per token."""

from __future__ import annotations

import torch
from torch import Tensor

from fineq.common.errors import FineqError
from fineq.quantizer.arithmetic import SMALLEST_SCALE
from fineq.quantizer.checks import FLOAT_TYPES, as_tensor

ACTIVATION_BITS = 8
MAX_ACTIVATION = 2 ** (ACTIVATION_BITS - 1) - 1
"""Largest magnitude of an activation; -128 is not used, so that the range is symmetric."""


def quantize_activations(
    activations: Tensor, name: str = "activations", largest: int = MAX_ACTIVATION
) -> tuple[Tensor, Tensor]:
    """Symmetric integers per token: scale = absmax / `largest`, value = round(x / scale), half to even.

    Args:
        activations: floating point, shape [tokens, K] or more leading dimensions.
        name: what error texts call the tensor.
        largest: magnitude, 1 to 127; the default gives 8 bits.

    Returns:
        Integers -largest..largest, int8 of the same shape, and scales, float32 of the shape without K. A token of
        zeros has scale 1.

    Raises:
        FineqError: not floating point, no dimensions, empty, NaN or infinity (with its position).
    """
    activations = as_tensor(activations, name)
    if activations.dtype not in FLOAT_TYPES:
        dtype = str(activations.dtype).removeprefix("torch.")
        raise FineqError(f"{name} is {dtype}: it must be float32, float16, bfloat16 or float64")
    if activations.ndim < 2 or activations.numel() == 0:
        raise FineqError(
            f"{name} has shape {list(activations.shape)}: it must be [tokens, K] with at least one token and K >= 1"
        )
    values = activations.to(torch.float32)
    if not torch.isfinite(values).all():
        position = (~torch.isfinite(values)).nonzero()[0].tolist()
        kind = "NaN" if values[tuple(position)].isnan() else "infinite"
        raise FineqError(f"{name}{position} is {kind}: all activations must be finite float32 numbers")
    absmax = values.abs().amax(dim=-1)
    scales = absmax / torch.full_like(absmax, largest)
    is_zero = scales < SMALLEST_SCALE
    scales = torch.where(is_zero, torch.ones_like(scales), scales)
    integers = (values / scales[..., None]).round().clamp(-largest, largest)
    return integers.to(torch.int8), scales
