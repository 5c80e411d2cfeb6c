"""Layers that keep their weights packed, and the one function that multiplies by packed weights."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fineq import format as block_format
from fineq import kernels
from fineq.checkpoint.fileformat import FORMAT_VERSION

DECODED_WEIGHTS = 1 << 22
"""Weights that are unpacked at once: bounds the memory that a forward pass takes beyond the packed weights."""

LOADED = "_is_hf_initialized"
"""Attribute that transformers sets on tensors that it has read from a file."""


# -- decoding --------------------------------------------------------------------------------------------------


def packed_linear(x: Tensor, blocks: Tensor, scales: Tensor, shape: tuple[int, int], axis: str = "row") -> Tensor:
    """x times the transposed packed matrix. All multiplications with packed weights go through here.

    Args:
        x: floating point, [..., K].
        blocks, scales: uint8 and float32 as in `PackedWeight`.
        shape: (rows, K) of the matrix.
        axis: `row` or `column`.

    Returns:
        [..., rows] in the type of x. The weights are code * scale in float32, rounded to the type of x. Gradients flow
        to x alone.
    """
    if torch.is_grad_enabled() and x.requires_grad:
        return _Product.apply(x, blocks, scales, shape, axis)
    return _product(x, blocks, scales, shape, axis)


class _Product(torch.autograd.Function):
    """The product with a gradient for its inputs. The backward pass unpacks the weights again, part by part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: Tensor, scales: Tensor, shape: tuple[int, int], axis: str) -> Tensor:
        ctx.save_for_backward(blocks, scales)
        ctx.shape, ctx.axis = shape, axis
        return _product(x, blocks, scales, shape, axis)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (blocks, scales) = gradients, ctx.saved_tensors
        rows, length = ctx.shape
        if ctx.axis == "column":
            return gradient @ decode(blocks, scales, rows).T.to(gradient.dtype), None, None, None, None
        step = max(1, DECODED_WEIGHTS // length)
        total = gradient.new_zeros(*gradient.shape[:-1], length)
        for start in range(0, rows, step):
            weights = decode(blocks[start : start + step], scales[start : start + step], length)
            total += gradient[..., start : start + step] @ weights.to(gradient.dtype)
        return total, None, None, None, None


def _product(x: Tensor, blocks: Tensor, scales: Tensor, shape: tuple[int, int], axis: str) -> Tensor:
    rows, length = shape
    if axis == "column":
        return functional.linear(x, decode(blocks, scales, rows).T.to(x.dtype))
    y = kernels.linear(x, blocks, scales, length)
    if y is not None:
        return y
    step = max(1, DECODED_WEIGHTS // length)
    parts = [
        functional.linear(x, decode(blocks[start : start + step], scales[start : start + step], length).to(x.dtype))
        for start in range(0, rows, step)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


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


# -- modules ---------------------------------------------------------------------------------------------------


class PackedModule(nn.Module):
    """Buffers of a packed weight under the names of the checkpoint: `fineq_blocks`, `fineq_scales` and `weight`,
    the one-byte marker that keeps other loaders from taking the model for one without weights.

    Args:
        shape: [rows, K], or [matrices, rows, K].
        axis: `row` or `column`.
        markers: shape of the marker.
    """

    fineq_blocks: Tensor
    fineq_scales: Tensor

    def __init__(self, shape: tuple[int, ...], axis: str = "row", markers: tuple[int, ...] = (1,)):
        super().__init__()
        channels, length = shape[-2:] if axis == "row" else shape[:-3:-1]
        blocks = (*shape[:-2], channels, block_format.bytes_per_row(length))
        self.shape, self.axis = tuple(shape), axis
        self.register_buffer("fineq_blocks", torch.zeros(blocks, dtype=torch.uint8))
        self.register_buffer("fineq_scales", torch.ones(blocks[:-1], dtype=torch.float32))
        self.register_buffer("weight", torch.full(markers, FORMAT_VERSION, dtype=torch.uint8))

    def _apply(self, fn, recurse: bool = True):  # noqa: ANN001, ANN202
        """Scales stay float32 when the model is converted to another type: they are part of the format."""
        scales = self.fineq_scales
        super()._apply(fn, recurse)
        if self.fineq_scales.dtype != torch.float32:
            self.fineq_scales = scales.to(self.fineq_scales.device)
        return self

    def is_empty(self) -> bool:
        """Whether a part of the weights was never loaded: transformers puts its mark on every tensor that it loads.

        Parts that were never given memory (offloaded ones) do not count.
        """
        parts = [part for part in self._buffers.values() if part is not None and not part.is_meta]
        return not all(getattr(part, LOADED, False) for part in parts)

    @property
    def weights(self) -> int:
        """How many weights the packed ones stand for."""
        return math.prod(self.shape)

    def unpacked(self) -> Tensor:
        """The weights that the packed ones stand for, float32 in the model's own layout."""
        blocks, scales = self.fineq_blocks.flatten(0, -2), self.fineq_scales.flatten()
        if self.axis == "column":
            return decode(blocks, scales, self.shape[-2]).T.contiguous()
        return decode(blocks, scales, self.shape[-1]).view(self.shape)

    def extra_repr(self) -> str:
        return f"{' x '.join(map(str, self.shape))}, packed {self.axis}-wise"


class FineqLinear(PackedModule):
    """A linear layer with packed weights, in the place of `nn.Linear` or of GPT-2's `Conv1D`.

    Args:
        in_features, out_features: sizes.
        bias: whether there is one.
        axis: `row` or `column`.
        dtype: of the bias.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        axis: str = "row",
        dtype: torch.dtype | None = None,
    ):
        super().__init__((out_features, in_features), axis)
        self.in_features, self.out_features = in_features, out_features
        self.nf, self.nx = out_features, in_features  # what Conv1D calls them
        self.bias = nn.Parameter(torch.zeros(out_features, dtype=dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] to [..., out_features], in the type of x."""
        y = packed_linear(x, self.fineq_blocks, self.fineq_scales, (self.out_features, self.in_features), self.axis)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class FineqEmbedding(PackedModule):
    """An embedding with packed rows: only the rows that are looked up are unpacked."""

    def __init__(self, num_embeddings: int, embedding_dim: int, axis: str = "row", dtype: torch.dtype | None = None):
        super().__init__((num_embeddings, embedding_dim), axis)
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.dtype = dtype or torch.get_default_dtype()

    def _apply(self, fn, recurse: bool = True):  # noqa: ANN001, ANN202
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.fineq_scales.device)).dtype
        return super()._apply(fn, recurse)

    def forward(self, ids: Tensor) -> Tensor:
        """Token numbers [...] to vectors [..., embedding_dim]."""
        if self.axis == "column":
            return decode(self.fineq_blocks, self.fineq_scales, self.num_embeddings).T[ids].to(self.dtype)
        flat = ids.flatten()
        rows = decode(self.fineq_blocks[flat], self.fineq_scales[flat], self.embedding_dim)
        return rows.view(*ids.shape, self.embedding_dim).to(self.dtype)


class FineqExperts(PackedModule):
    """A stack of matrices, in the place of a three-dimensional weight of a mixture of experts.

    Indexing gives one expert's matrix, unpacked, the way the model stores it.

    Args:
        shape: [experts, rows, K] as packed.
        transposed: the model stores [experts, K, rows].
        sources: how many tensors of the checkpoint are joined in one matrix (gate and up: 2). 0: the checkpoint has
            the stack as one tensor.
        dtype: of the unpacked matrices.
    """

    def __init__(self, shape: tuple[int, ...], transposed: bool, sources: int, dtype: torch.dtype | None = None):
        super().__init__(shape, "row", (shape[0], sources) if sources else (1,))
        self.sources = sources
        self.transposed, self.dtype = transposed, dtype or torch.get_default_dtype()

    def _apply(self, fn, recurse: bool = True):  # noqa: ANN001, ANN202
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.fineq_scales.device)).dtype
        return super()._apply(fn, recurse)

    def unpacked(self) -> Tensor:
        stack = super().unpacked()
        return stack.transpose(-1, -2).contiguous() if self.transposed else stack

    def __getitem__(self, expert: int | Tensor) -> Tensor:
        matrix = decode(self.fineq_blocks[expert], self.fineq_scales[expert], self.shape[-1]).to(self.dtype)
        return matrix.T if self.transposed else matrix
