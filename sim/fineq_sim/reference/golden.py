"""Golden vectors for the testbenches: made with the quantizer, read as any other RTL would read them.

The testbenches take the `.hex` files, not numpy's, so that these are exercised as well.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Golden:
    """One linear layer with exact integer results.

    Attributes:
        blocks: packed weights, uint8 [N, 7 * ceil(K / 24)].
        codes: integer weights, int8 [N, K].
        activations: int8 [M, K].
        expected_sums: int32 [M, N].
    """

    blocks: np.ndarray
    codes: np.ndarray
    activations: np.ndarray
    expected_sums: np.ndarray


def make_golden(directory: Path, channels: int, inner: int, tokens: int, seed: int = 0) -> Path:
    """Quantize a heavy-tailed random matrix and write its golden vectors (N=channels, K=inner, M=tokens)."""
    import torch

    from fineq.quantizer.activations import quantize_activations
    from fineq.quantizer.golden_vectors import write_vectors
    from fineq.quantizer.vectorised import quantize

    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(channels, inner, generator=generator)
    weight *= torch.where(torch.rand(channels, inner, generator=generator) < 0.05, 4.0, 1.0)
    weight[: channels // 8] = 0.0  # channels of zeros: the shortest vectors
    activations, activation_scales = quantize_activations(torch.randn(tokens, inner, generator=generator))
    return write_vectors(directory, quantize(weight, "paper"), activations, activation_scales)


def read_golden(directory: str | Path) -> Golden:
    """Read the arrays that a testbench needs from the `.hex` files of golden vectors.

    Raises:
        ValueError: a file does not have the checksum or shape that the manifest says.
    """
    directory = Path(directory)
    manifest = json.loads((directory / "manifest.json").read_text())
    arrays = {}
    for name in ("blocks", "codes", "activations", "expected_sums"):
        entry = manifest["arrays"][name]
        content = (directory / entry["files"]["hex"]["file"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["files"]["hex"]["sha256"]:
            raise ValueError(f"{directory / entry['files']['hex']['file']} does not have the manifest's checksum")
        rows = [bytes.fromhex(line)[::-1] for line in content.decode().split()]
        values = np.frombuffer(b"".join(rows), dtype=np.dtype(entry["dtype"]).newbyteorder("<"))
        arrays[name] = values.reshape(entry["shape"])
    return Golden(**arrays)
