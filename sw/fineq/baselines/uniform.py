"""Symmetric uniform quantization, one scale a row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.baselines.grid import ROW_SCALE_BITS, check_bits
from fineq.quantizer.checks import float_matrix


@dataclass(frozen=True)
class Uniform:
    """Equation 1 of the paper with one bit width for all weights (Section V-A, its [23]).

    scale = absmax / (2^(bits-1) - 1), value = round(w / scale) * scale, in float32, half to even. At 2 bits
    the values are -absmax, 0 and absmax.
    """

    bits: int = 2

    def __post_init__(self) -> None:
        check_bits(self.bits, 2, 16)

    @property
    def title(self) -> str:
        return f"Uniform, {self.bits} bits, symmetric per row"

    def __call__(self, weight: Tensor, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and the bits per weight with a row's scale."""
        weight = float_matrix(weight, name)
        largest = 2 ** (self.bits - 1) - 1
        scale = weight.abs().amax(dim=1, keepdim=True) / largest
        scale = torch.where(scale == 0, 1.0, scale)
        codes = (weight / scale).round().clamp(-largest, largest)
        return codes * scale, self.bits + ROW_SCALE_BITS / weight.shape[1]
