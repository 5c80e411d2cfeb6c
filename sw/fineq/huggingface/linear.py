"""Layers that keep their weights packed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fineq import format as block_format
from fineq.checkpoint.fileformat import BLOCKS, FORMAT_VERSION
from fineq.operators import packed_linear, unpack
from fineq.operators.library import check_activation

LOADED = "_is_hf_initialized"
"""Attribute that transformers sets on tensors that it has read from a file."""


class PackedModule(nn.Module):
    """Buffers of a packed weight under the names of the checkpoint: its codes, `fineq_scales` and `weight`, the
    one-byte marker that keeps other loaders from taking the model for one without weights.

    Args:
        shape: of the weight, [rows, K], or [matrices, rows, K].
        part: name of the codes.
        codes: [..., channels, bytes]; every channel has a scale.
        markers: shape of the marker.
        version: of the format, for the marker.
    """

    fineq_scales: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        part: str,
        codes: Tensor,
        markers: tuple[int, ...] = (1,),
        version: int = FORMAT_VERSION,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.register_buffer(part, codes)
        self.register_buffer("fineq_scales", torch.ones(codes.shape[:-1], dtype=torch.float32))
        self.register_buffer("weight", torch.full(markers, version, dtype=torch.uint8))

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
        raise NotImplementedError


class BlockModule(PackedModule):
    """A weight in FineQ's blocks, `fineq_blocks`.

    Args:
        shape, markers: see `PackedModule`.
        axis: `row` or `column`.
    """

    fineq_blocks: Tensor

    def __init__(self, shape: tuple[int, ...], axis: str = "row", markers: tuple[int, ...] = (1,)):
        channels, length = shape[-2:] if axis == "row" else shape[:-3:-1]
        blocks = (*shape[:-2], channels, block_format.bytes_per_row(length))
        super().__init__(shape, BLOCKS, torch.zeros(blocks, dtype=torch.uint8), markers)
        self.axis = axis

    def unpacked(self) -> Tensor:
        blocks, scales = self.fineq_blocks.flatten(0, -2), self.fineq_scales.flatten()
        if self.axis == "column":
            return unpack(blocks, scales, self.shape[-2]).T.contiguous()
        return unpack(blocks, scales, self.shape[-1]).view(self.shape)

    def extra_repr(self) -> str:
        return f"{' x '.join(map(str, self.shape))}, packed {self.axis}-wise"


class FineqLinear(BlockModule):
    """A linear layer with packed weights, in the place of `nn.Linear` or of GPT-2's `Conv1D`.

    Args:
        in_features, out_features: sizes.
        bias: whether there is one.
        axis: `row` or `column`.
        dtype: of the bias.
        activation: `float`, or `int8` for what the hardware computes (`fineq.operators.ACTIVATIONS`). May be set at any
            time; `int8` needs axis `row`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        axis: str = "row",
        dtype: torch.dtype | None = None,
        activation: str = "float",
    ):
        super().__init__((out_features, in_features), axis)
        self.activation = activation
        self.in_features, self.out_features = in_features, out_features
        self.nf, self.nx = out_features, in_features  # what Conv1D calls them
        self.bias = nn.Parameter(torch.zeros(out_features, dtype=dtype)) if bias else None

    _activation = "float"  # of layers that were pickled by an older release

    @property
    def activation(self) -> str:
        """What the layer does with its inputs."""
        return self._activation

    @activation.setter
    def activation(self, value: str) -> None:
        self._activation = check_activation(value, self.axis)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] to [..., out_features], in the type of x; under autocast in its type."""
        shape = self.out_features, self.in_features
        y = packed_linear(x, self.fineq_blocks, self.fineq_scales, shape, self.axis, self._activation)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", int8 activations" if self._activation == "int8" else "")


def set_activation(model: nn.Module, activation: str) -> int:
    """Set what all packed linear layers of a model do with their inputs.

    Returns:
        How many layers those are. Experts of a mixture unpack their matrices, and stay as they are.

    Raises:
        FineqError: see `check_activation`; nothing is changed then.
    """
    layers = [module for module in model.modules() if isinstance(module, FineqLinear)]
    for layer in layers:
        check_activation(activation, layer.axis)
    for layer in layers:
        layer.activation = activation
    return len(layers)


class FineqEmbedding(BlockModule):
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
            return unpack(self.fineq_blocks, self.fineq_scales, self.num_embeddings).T[ids].to(self.dtype)
        flat = ids.flatten()
        rows = unpack(self.fineq_blocks[flat], self.fineq_scales[flat], self.embedding_dim)
        return rows.view(*ids.shape, self.embedding_dim).to(self.dtype)


class FineqExperts(BlockModule):
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
        matrix = unpack(self.fineq_blocks[expert], self.fineq_scales[expert], self.shape[-1]).to(self.dtype)
        return matrix.T if self.transposed else matrix
