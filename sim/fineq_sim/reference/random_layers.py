"""Random layers for tests: weights that the format can hold, activations, and the sums that they must give."""

from __future__ import annotations

import numpy as np

from fineq_hw.config import AcceleratorConfig


def random_codes(config: AcceleratorConfig, rng: np.random.Generator, channels: int, inner: int) -> np.ndarray:
    """Integers [N, K] that the accelerator's weight format can hold."""
    if config.array.signed_weights:
        low, high = config.array.weight_limits
        return rng.integers(low, high + 1, (channels, inner), dtype=np.int8)
    codes = rng.integers(-3, 4, (channels, inner), dtype=np.int8)
    small = rng.random((channels, 1)) < 0.5
    codes = np.where(small, np.sign(codes), codes)
    codes[:, 1::3] *= small  # a cluster with large weights has a zero
    return codes


def random_activations(rng: np.random.Generator, tokens: int, inner: int) -> np.ndarray:
    return rng.integers(-128, 128, (tokens, inner), dtype=np.int8)


def sums(activations: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return activations.astype(np.int64) @ codes.astype(np.int64).T
