"""Weights of 8 bits with a scale for each row: the form of embeddings and output heads beside FineQ's blocks.

Symmetric, rounded to the nearest: weight [n, k] is code [n, k] times scale [n]. What is multiplied are the dequantized
weights, a bounded number of rows at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

LARGEST = 127
"""Largest magnitude of a code: -128 is not used."""

CHUNK_WEIGHTS = 1 << 22
"""Weights that are dequantized at once."""


def quantize_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Quantize rows.

    Args:
        weight: float32 [rows, K], finite.

    Returns:
        Codes, int8 [rows, K], and a positive scale for each row, float32 [rows]: its largest magnitude over 127, and 1
        for a row of zeros.
    """
    largest = weight.abs().amax(dim=1)
    smallest = torch.finfo(torch.float32).tiny  # of rows that are nearly zero the quotient may be none
    scales = torch.where(largest > 0, (largest / LARGEST).clamp_min(smallest), 1.0)
    codes = (weight / scales[:, None]).round().clamp(-LARGEST, LARGEST)
    return codes.to(torch.int8), scales


def dequantize_int8(codes: Tensor, scales: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weights [..., K] of codes, int8 [..., K], and scales, float32 [...]; the product is taken in float32."""
    return (codes.to(torch.float32) * scales[..., None]).to(dtype)


def int8_linear(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """[..., K] times the weights of codes, int8 [rows, K], and scales, float32 [rows]: [..., rows].

    The type is that of x, or autocast's; weights are rounded to it.
    """
    rows = max(1, CHUNK_WEIGHTS // codes.shape[1])
    parts = [
        linear(x, dequantize_int8(some, their, x.dtype))
        for some, their in zip(codes.split(rows), scales.split(rows), strict=True)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
