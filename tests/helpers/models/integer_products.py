"""Problems for the integer product, and what the project's integer reference makes of them."""

import torch
from torch import Tensor

import fineq
from fineq import PackedWeight, format
from fineq.quantizer.golden_vectors import make_vectors


def problem(rows: int, columns: int, tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Activations of all sizes, blocks with every pattern of bits that a block can have, and scales."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, columns, generator=generator) * 10 ** torch.linspace(-3, 3, tokens)[:, None]
    x[0] = torch.randint(-127, 128, (columns,), generator=generator) / 2.0  # many ties, if 127 is among them
    x[0, 0] = 127.0
    blocks = torch.randint(0, 256, (rows, format.bytes_per_row(columns)), dtype=torch.uint8, generator=generator)
    return x, blocks, torch.rand(rows, generator=generator) + 0.01


def reference(x: Tensor, blocks: Tensor, scales: Tensor) -> Tensor:
    """y [tokens, rows] by way of the golden vectors, whose sums the RTL is held to."""
    codes = PackedWeight(blocks, scales, (len(blocks), x.shape[1])).codes()
    packed = PackedWeight.from_codes(codes, scales)  # the same weights without bits that the format never stores
    integers, token_scales = fineq.quantize_activations(x)
    return torch.from_numpy(make_vectors(packed, integers, token_scales).result())
