"""The layer that firmware runs: random weights and activations, as a model has them."""

from __future__ import annotations

import torch

from fineq.quantizer.activations import quantize_activations
from fineq.quantizer.golden_vectors import GoldenVectors, make_vectors
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.vectorised import quantize


def random_layer(rows: int, inner: int, tokens: int, seed: int) -> tuple[PackedWeight, GoldenVectors]:
    """A packed layer [rows, inner] and golden vectors of it, from a normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    packed = quantize(torch.randn(rows, inner, generator=generator) / inner**0.5, "paper")
    integers, scales = quantize_activations(torch.randn(tokens, inner, generator=generator))
    return packed, make_vectors(packed, integers.numpy(), scales.numpy())
