"""Products with packed weights on a GPU, in Triton: weights are decoded in registers and never written to memory.

Needs the package `triton`, which torch for CUDA brings along. Taken only where FINEQ_TRITON=1 asks for it
(`product.gpu_kernels`): it has been run by Triton's interpreter alone, not on a device yet.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_BITS,
    INDEX_BYTES,
    INDEX_CODES,
    PAIR_CLUSTERS,
)
from fineq.kernels.decoding import weight_table

TOKENS_AT_ONCE, ROWS_AT_ONCE, CLUSTERS_AT_ONCE = 16, 64, 32
"""Of one program of the grid; the matrix units ask for 16 or 32 at least."""


@triton.jit
def _product(
    x, x_scales, blocks, scales, table, y, tokens, rows, length, row_bytes,
    BLOCK: tl.constexpr, CLUSTERS: tl.constexpr, WEIGHTS: tl.constexpr, INDEX: tl.constexpr, CODE: tl.constexpr,
    CODES: tl.constexpr, PAIR: tl.constexpr, PAYLOAD: tl.constexpr, INTEGER: tl.constexpr,
    T: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    row, token = tl.program_id(0) * R + tl.arange(0, R), tl.program_id(1) * T + tl.arange(0, T)
    total = tl.zeros([T, R], tl.int32 if INTEGER else tl.float32)
    for first in range(0, tl.cdiv(length, WEIGHTS), C):
        cluster = first + tl.arange(0, C)
        stored = (cluster * WEIGHTS < length)[:, None] & (row < rows)[None, :]
        block = blocks + row[None, :].to(tl.int64) * row_bytes + (cluster // CLUSTERS * BLOCK)[:, None]
        bit = cluster % CLUSTERS * PAYLOAD
        lower = INDEX + bit // 8
        upper = tl.minimum(lower + 1, BLOCK - 1)  # the last payload ends with its byte
        low = tl.load(block + lower[:, None], stored, 0).to(tl.int32)
        high = tl.load(block + upper[:, None], stored, 0).to(tl.int32)
        payload = (low | high << 8) >> (bit % 8)[:, None] & ((1 << PAYLOAD) - 1)
        index = tl.load(block, stored, 0).to(tl.int32)
        code = index >> (cluster % CLUSTERS // PAIR * CODE)[:, None] & (CODES - 1)
        entry = table + (code << PAYLOAD | payload) * (WEIGHTS + 1)
        for j in tl.static_range(WEIGHTS):
            k = cluster * WEIGHTS + j
            inside = (token < tokens)[:, None] & (k < length)[None, :]
            values = tl.load(x + token[:, None].to(tl.int64) * length + k[None, :], inside, 0)
            weights = tl.load(entry + j)
            if INTEGER:
                total += tl.dot(values, weights, out_dtype=tl.int32)
            elif values.dtype == tl.bfloat16:  # exact in tf32, and so are the weights
                total += tl.dot(values.to(tl.float32), weights.to(tl.float32), input_precision="tf32")
            else:
                total += tl.dot(values, weights.to(values.dtype), input_precision="ieee")
    result = total.to(tl.float32)
    if INTEGER:
        result = result * tl.load(x_scales + token, token < tokens, 0.0)[:, None]
    result = result * tl.load(scales + row, row < rows, 0.0)[None, :]
    place = y + token[:, None].to(tl.int64) * rows + row[None, :]
    tl.store(place, result, (token < tokens)[:, None] & (row < rows)[None, :])


def product(x: Tensor, blocks: Tensor, scales: Tensor, x_scales: Tensor | None = None) -> Tensor:
    """x times the transposed packed matrix.

    Args:
        x: float32, float16 or bfloat16 [tokens, K]; with `x_scales` int8.
        blocks, scales: uint8 [rows, 7*ceil(K/24)] and float32 [rows].
        x_scales: float32 [tokens], of integer activations; None: the activations are floats.

    Returns:
        float32 [tokens, rows]. Integers: (sum * scale of the token) * scale of the row, bit for bit.
    """
    (tokens, length), rows = x.shape, len(blocks)
    y = torch.empty(tokens, rows, dtype=torch.float32, device=x.device)
    if not tokens:
        return y
    x, blocks = x.contiguous(), blocks.contiguous()
    grid = (triton.cdiv(rows, ROWS_AT_ONCE), triton.cdiv(tokens, TOKENS_AT_ONCE))
    _product[grid](
        x, scales if x_scales is None else x_scales, blocks, scales, _table(x.device), y, tokens, rows, length,
        blocks.shape[1], BLOCK=BLOCK_BYTES, CLUSTERS=BLOCK_CLUSTERS, WEIGHTS=CLUSTER_WEIGHTS, INDEX=INDEX_BYTES,
        CODE=INDEX_BITS, CODES=INDEX_CODES, PAIR=PAIR_CLUSTERS, PAYLOAD=CLUSTER_PAYLOAD_BITS,
        INTEGER=x_scales is not None, T=TOKENS_AT_ONCE, R=ROWS_AT_ONCE, C=CLUSTERS_AT_ONCE,
    )  # fmt: skip
    return y


@cache
def _table(device: torch.device) -> Tensor:
    return torch.from_numpy(weight_table()).to(device)
