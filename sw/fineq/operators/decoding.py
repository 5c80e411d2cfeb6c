"""From packed channels to weights."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from fineq import format as block_format
from fineq import kernels


def decode(blocks: Tensor, scales: Tensor, length: int) -> Tensor:
    """The weights of packed channels: float32 [channels, length], equal to `PackedWeight.dequantize`."""
    values = kernels.dequantize(blocks, scales, length, torch.float32)
    if values is not None:
        return values
    table = _pair_table(blocks.device)
    parts = blocks.reshape(len(blocks), -1, block_format.BLOCK_BYTES)
    index, payload = parts[..., :1].to(torch.int32), parts[..., 1:].to(torch.int32)
    # A pair is 12 payload bits: the even pairs begin at a byte, the odd ones in its middle.
    first, middle, last = payload.unflatten(-1, (-1, 3)).unbind(-1)
    pairs = torch.stack([first | (middle & 15) << 8, middle >> 4 | last << 4], dim=-1).flatten(-2)
    codes = index >> torch.arange(0, 8, block_format.INDEX_BITS, device=blocks.device, dtype=torch.int32) & 3
    weights = table.index_select(0, (codes << 12 | pairs).flatten()).view(len(blocks), -1)[:, :length]
    return weights * scales[:, None]


@cache
def _pair_table(device: torch.device) -> Tensor:
    """The six weights of a pair by index code (2 bits) and payload (12 bits): float32 [2^14, 6]."""
    bits = block_format.CLUSTER_PAYLOAD_BITS
    clusters = [
        [block_format.decode_cluster(code, payload)[0] for payload in range(1 << bits)]
        for code in range(block_format.INDEX_CODES)
    ]
    by_cluster = torch.tensor(clusters, dtype=torch.float32)  # [code, payload, 3]
    second = by_cluster[:, :, None].expand(-1, -1, 1 << bits, -1)
    first = by_cluster[:, None].expand(-1, 1 << bits, -1, -1)
    return torch.cat([first, second], dim=-1).reshape(-1, block_format.PAIR_WEIGHTS).to(device)
