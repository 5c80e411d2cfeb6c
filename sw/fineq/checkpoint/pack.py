"""Quantizes one tensor of a model file, a bounded number of rows at a time, and measures what it did to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from fineq import format as block_format
from fineq.checkpoint.container import Container
from fineq.checkpoint.planning import Unit
from fineq.quantizer.checks import check_finite
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.pairs import own_codes, split_clusters
from fineq.quantizer.recipes import RECIPES, Recipe
from fineq.quantizer.vectorised import quantize

CHUNK_WEIGHTS = 1 << 22
"""Weights that are read, quantized and measured at once."""


@dataclass
class Measures:
    """What quantization did to a tensor, summed over its chunks."""

    error: float = 0.0
    power: float = 0.0
    clusters: int = 0
    outlier_clusters: int = 0
    pairs: int = 0
    disagreeing_pairs: int = 0

    @property
    def normalised_error(self) -> float:
        """Squared error over the squared weights: 0 is exact, 1 is all zero."""
        return self.error / self.power if self.power else float(self.error > 0)

    @property
    def outlier_share(self) -> float:
        """Share of the clusters that store two 3-bit weights."""
        return self.outlier_clusters / self.clusters if self.clusters else 0.0

    @property
    def disagreement_share(self) -> float:
        """Share of the pairs whose clusters, each alone, would choose different codes (by the paper's rule)."""
        return self.disagreeing_pairs / self.pairs if self.pairs else 0.0

    def add(self, weight: Tensor, packed: PackedWeight) -> None:
        """Count a matrix, [rows, K]."""
        original = weight.to(torch.float32)
        self.error += torch.square(original - packed.dequantize()).sum(dtype=torch.float64).item()
        self.power += torch.square(original).sum(dtype=torch.float64).item()
        channels = original if packed.axis == "row" else original.T
        length = channels.shape[1]
        clusters = -(-length // block_format.CLUSTER_WEIGHTS)
        index = packed.index().repeat_interleave(block_format.PAIR_CLUSTERS, dim=1)[:, :clusters]
        self.clusters += index.numel()
        self.outlier_clusters += int((index != block_format.INDEX_ALL_NORMAL).sum())
        own = own_codes(split_clusters(channels), RECIPES["paper"])[..., : clusters // block_format.PAIR_CLUSTERS]
        self.pairs += own[0].numel()
        self.disagreeing_pairs += int((own[0] != own[1]).sum())


@dataclass(frozen=True)
class LayerResult:
    """A line of the per-layer table."""

    name: str
    shape: tuple[int, ...]
    bits_per_weight: float
    measures: Measures = field(default_factory=Measures)

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict) -> LayerResult:
        measures = Measures(**fields["measures"])
        return cls(fields["name"], tuple(fields["shape"]), fields["bits_per_weight"], measures)


def quantize_unit(unit: Unit, container: Container, recipe: Recipe, measures: Measures) -> Iterator[PackedWeight]:
    """Packed pieces of a tensor, in the order of the checkpoint's bytes; their measures are added up.

    A matrix that is stored as [inputs, outputs], or quantized along its columns, is read whole.
    """
    *stack, rows, inputs = unit.packed.shape
    transposed = unit.layer.transposed
    whole = transposed or recipe.axis == "column"
    step = rows if whole else max(1, CHUNK_WEIGHTS // inputs)
    for matrix in range(stack[0] if stack else 1):
        for start in range(0, rows, step):
            count = min(step, rows - start)
            weight = container.read(unit.source, (matrix * rows + start) * inputs, count * inputs)
            weight = weight.view(inputs, rows).T if transposed else weight.view(count, inputs)
            # Pieces of pieces: `quantize` and the measures make float32 copies of what they get.
            channels = range(0, rows, max(1, CHUNK_WEIGHTS // inputs)) if transposed and recipe.axis == "row" else [0]
            for first in channels:
                part = weight[first : first + CHUNK_WEIGHTS // inputs] if len(channels) > 1 else weight
                check_finite(part, unit.source, start + first)
                packed = quantize(part, recipe, name=unit.source)
                measures.add(part, packed)
                yield packed


def packed_pieces(
    unit: Unit, container: Container, given: list[PackedWeight], measures: Measures
) -> Iterator[PackedWeight]:
    """The same for matrices that were quantized beforehand, with the whole model in memory."""
    weights = container.read(unit.source).view(-1, *container.tensors[unit.source].shape[-2:])
    for weight, packed in zip(weights, given, strict=True):
        measures.add(weight.T if unit.layer.transposed else weight, packed)
        yield packed
