"""Inputs of layers that are made up."""

import torch


def correlated_hessian(columns: int, seed: int = 0, tokens: int = 400) -> torch.Tensor:
    """Mean of x x^T of inputs of unequal size that share a few directions."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(tokens, columns, generator=generator, dtype=torch.float64)
    mixed += torch.randn(tokens, 4, generator=generator, dtype=torch.float64) @ torch.randn(
        4, columns, generator=generator, dtype=torch.float64
    )
    inputs = mixed * torch.logspace(-1, 0.3, columns, dtype=torch.float64)
    return inputs.T @ inputs / tokens
