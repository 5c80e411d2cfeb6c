"""Embedding and output head with weights of 8 bits and a scale for each row.

Of a model that ties the two, the embedding holds the matrix and the head refers to the embedding. So there is one copy,
also after `copy.deepcopy`, on another device and in a file. transformers, which ties parameters, has no part in it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fineq.checkpoint.fileformat import INT8, INT8_VERSION
from fineq.huggingface.linear import PackedModule
from fineq.operators.int8 import dequantize_int8, int8_linear


class Int8Module(PackedModule):
    """Buffers of such a matrix: `fineq_int8`, int8 [rows, K], `fineq_scales`, float32 [rows], and the marker.

    Args:
        shape: [rows, K].
    """

    fineq_int8: Tensor

    def __init__(self, shape: tuple[int, int]):
        super().__init__(shape, INT8, torch.zeros(shape, dtype=torch.int8), version=INT8_VERSION)

    def unpacked(self) -> Tensor:
        return dequantize_int8(self.fineq_int8, self.fineq_scales)

    def extra_repr(self) -> str:
        return f"{' x '.join(map(str, self.shape))}, int8"


class Int8Embedding(Int8Module):
    """An embedding whose rows are dequantized when they are looked up."""

    def __init__(self, num_embeddings: int, embedding_dim: int, dtype: torch.dtype | None = None):
        super().__init__((num_embeddings, embedding_dim))
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.dtype = dtype or torch.get_default_dtype()

    def _apply(self, fn, recurse: bool = True):  # noqa: ANN001, ANN202
        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=self.fineq_scales.device)).dtype
        return super()._apply(fn, recurse)

    def forward(self, ids: Tensor) -> Tensor:
        """Token numbers [...] to vectors [..., embedding_dim]."""
        return dequantize_int8(self.fineq_int8[ids], self.fineq_scales[ids], self.dtype)


class Int8Linear(Int8Module):
    """An output head with a matrix of its own.

    Args:
        in_features, out_features: sizes.
        bias: of the layer that it replaces.
    """

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None = None):
        super().__init__((out_features, in_features))
        self.in_features, self.out_features = in_features, out_features
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] to [..., out_features], in the type of x; under autocast in its type."""
        return _with_bias(int8_linear(x, self.fineq_int8, self.fineq_scales), self.bias)


class Int8TiedLinear(nn.Module):
    """An output head that multiplies by the matrix of the embedding, and holds none.

    Args:
        embedding: of the same model.
        bias: of the layer that it replaces.
    """

    def __init__(self, embedding: Int8Embedding, bias: nn.Parameter | None = None):
        super().__init__()
        self.in_features, self.out_features = embedding.embedding_dim, embedding.num_embeddings
        self.bias = bias
        self._embedding = (embedding,)  # in a tuple: as a submodule its buffers would be stored once more

    @property
    def embedding(self) -> Int8Embedding:
        """Where the matrix is."""
        return self._embedding[0]

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] to [..., out_features], in the type of x; under autocast in its type."""
        return _with_bias(int8_linear(x, self.embedding.fineq_int8, self.embedding.fineq_scales), self.bias)

    def extra_repr(self) -> str:
        return f"{self.out_features} x {self.in_features}, int8, tied to the embedding"


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.to(y.dtype)
