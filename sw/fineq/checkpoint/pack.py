"""Quantizes one tensor of a model file, a bounded number of rows at a time, and measures what it did to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fineq import format as block_format
from fineq import kernels
from fineq.checkpoint.container import Container
from fineq.checkpoint.planning import Unit
from fineq.common.errors import FineqError
from fineq.operators.int8 import dequantize_int8, quantize_int8
from fineq.quantizer.checks import check_finite
from fineq.quantizer.native import row_options
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.pairs import own_codes, split_clusters
from fineq.quantizer.recipes import RECIPES, Recipe
from fineq.quantizer.vectorised import quantize_measured

CHUNK_WEIGHTS = 1 << 22
"""Weights that are read, quantized and measured at once."""

Pieces = Iterator[tuple[Tensor, Tensor]]
"""Codes and scales of a tensor as they lie in the file, some of its rows at a time."""

OWN_CODES = RECIPES["paper"]
"""By whose rule a cluster chooses a code alone."""


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

    def add(self, weight: Tensor, packed: PackedWeight, figures: kernels.RowFigures | None = None) -> None:
        """Count a matrix, [rows, K]; `figures`: what is known of its channels already, if it is all of them."""
        channels = weight if packed.axis == "row" else weight.T
        rows, length = channels.shape
        clusters = -(-length // block_format.CLUSTER_WEIGHTS)
        if figures and figures.rows == rows:
            measured = figures.error, figures.power, figures.outlier_clusters, figures.disagreeing_pairs
        else:
            measured = _measure(channels, packed, clusters)
        error, power, outliers, disagreeing = measured
        self.error += error
        self.power += power
        self.clusters += rows * clusters
        self.outlier_clusters += outliers
        self.pairs += rows * (clusters // block_format.PAIR_CLUSTERS)
        self.disagreeing_pairs += disagreeing


def _measure(channels: Tensor, packed: PackedWeight, clusters: int) -> tuple[float, float, int, int]:
    if channels.dtype == torch.float64 or channels.stride(-1) != 1:
        channels = channels.to(torch.float32).contiguous()
    found = kernels.measure_rows(channels, packed.blocks, packed.scales, row_options(OWN_CODES))
    if found is not None:
        return found
    channels = channels.to(torch.float32)
    dequantized = packed.dequantize()
    dequantized = dequantized if packed.axis == "row" else dequantized.T
    error = torch.square(channels - dequantized).sum(dtype=torch.float64).item()
    power = torch.square(channels).sum(dtype=torch.float64).item()
    index = packed.index().repeat_interleave(block_format.PAIR_CLUSTERS, dim=1)[:, :clusters]
    own = own_codes(split_clusters(channels), OWN_CODES)[..., : clusters // block_format.PAIR_CLUSTERS]
    return error, power, int((index != block_format.INDEX_ALL_NORMAL).sum()), int((own[0] != own[1]).sum())


@dataclass(frozen=True)
class LayerResult:
    """A line of the per-layer table."""

    name: str
    shape: tuple[int, ...]
    bits_per_weight: float
    measures: Measures = field(default_factory=Measures)

    def to_json(self) -> dict:
        return vars(self) | {"measures": vars(self.measures)}

    @classmethod
    def from_json(cls, fields: dict) -> LayerResult:
        measures = Measures(**fields["measures"])
        return cls(fields["name"], tuple(fields["shape"]), fields["bits_per_weight"], measures)


def layer_result(unit: Unit, measures: Measures) -> LayerResult:
    """A line of the table; bits per weight from the true sizes, padding and scales included."""
    assert unit.packed is not None
    return LayerResult(unit.name, unit.packed.shape, unit.packed.bits_per_weight, measures)


def report_line(result: LayerResult) -> dict[str, Any]:
    """What the report says of a tensor; shares of clusters only where there are any."""
    line = {
        "tensor": result.name,
        "shape": list(result.shape),
        "bits_per_weight": round(result.bits_per_weight, 4),
        "normalised_error": round(result.measures.normalised_error, 6),
    }
    if not result.measures.clusters:
        return line
    return line | {
        "share_of_3_bit_clusters": round(result.measures.outlier_share, 6),
        "share_of_disagreeing_pairs": round(result.measures.disagreement_share, 6),
    }


def quantize_unit(unit: Unit, container: Container, recipe: Recipe, measures: Measures) -> Pieces:
    """Pieces of a tensor in FineQ's blocks, in the order of the checkpoint's bytes; their measures are added up.

    A matrix that is stored as [inputs, outputs], or quantized along its columns, is read whole.
    """
    assert unit.layer is not None and unit.packed is not None
    *stack, rows, inputs = unit.packed.shape
    transposed = unit.layer.transposed
    whole = transposed or recipe.axis == "column"
    step = rows if whole else max(1, CHUNK_WEIGHTS // inputs)
    for matrix in range(stack[0] if stack else 1):
        for start in range(0, rows, step):
            count = min(step, rows - start)
            weight = container.read(unit.source, (matrix * rows + start) * inputs, count * inputs)
            weight = weight.view(inputs, rows).T if transposed else weight.view(count, inputs)
            # Pieces of pieces: quantizing and the measures make float32 copies of what they get.
            channels = range(0, rows, max(1, CHUNK_WEIGHTS // inputs)) if transposed and recipe.axis == "row" else [0]
            for first in channels:
                part = weight[first : first + CHUNK_WEIGHTS // inputs] if len(channels) > 1 else weight
                figures = kernels.RowFigures(row_options(OWN_CODES))
                try:
                    packed = quantize_measured(part, recipe, unit.source, figures)
                except FineqError:
                    check_finite(part, unit.source, start + first)  # the place in the whole tensor
                    raise
                measures.add(part, packed, figures)
                yield packed.blocks, packed.scales


def packed_pieces(unit: Unit, container: Container, given: list[PackedWeight], measures: Measures) -> Pieces:
    """The same for matrices that were quantized beforehand, with the whole model in memory."""
    assert unit.layer is not None
    weights = container.read(unit.source).view(-1, *container.tensors[unit.source].shape[-2:])
    for weight, packed in zip(weights, given, strict=True):
        measures.add(weight.T if unit.layer.transposed else weight, packed)
        yield packed.blocks, packed.scales


def int8_pieces(unit: Unit, container: Container, measures: Measures) -> Pieces:
    """The same for a matrix that is stored with 8 bits."""
    assert unit.packed is not None
    rows, inputs = unit.packed.shape
    step = max(1, CHUNK_WEIGHTS // inputs)
    for start in range(0, rows, step):
        count = min(step, rows - start)
        weight = container.read(unit.source, start * inputs, count * inputs).view(count, inputs).to(torch.float32)
        check_finite(weight, unit.source, start)
        codes, scales = quantize_int8(weight)
        measures.error += torch.square(weight - dequantize_int8(codes, scales)).sum(dtype=torch.float64).item()
        measures.power += torch.square(weight).sum(dtype=torch.float64).item()
        yield codes, scales
