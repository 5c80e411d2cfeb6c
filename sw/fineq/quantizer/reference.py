"""Algorithm 1 of the paper in plain loops: slow, and meant to be read beside the paper.

`fineq.quantize` gives the same bytes and scales for every recipe; tests/sw/quantizer/test_reference.py holds it to
that. The arithmetic rules (float32, order of operations, ties) stand at the top of `fineq.quantizer.arithmetic`.
Comments quote the pseudocode with its line numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fineq.common.errors import FineqError
from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    BLOCK_PAIRS,
    BLOCK_WEIGHTS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_BITS,
    INDEX_BYTES,
    INDEX_CODES,
    MAX_MAGNITUDE,
    MAX_NORMAL,
    PAIR_CLUSTERS,
    blocks_per_row,
    encode_cluster,
)
from fineq.quantizer.arithmetic import LOSS_UNIT, SCALE_GRID_DENOMINATOR, SMALLEST_SCALE
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.recipes import Recipe, find_recipe

f32 = np.float32
Cluster = list[np.float32]


def quantize_reference(weight: torch.Tensor, recipe: str | Recipe = "paper", **options: Any) -> PackedWeight:
    """As `fineq.quantize`, for finite float matrices; it does not check its input."""
    recipe = find_recipe(recipe, **options)
    if recipe.cycle_weight:
        raise FineqError("the reference is the paper's algorithm, which knows no cycles: set cycle_weight to 0")
    matrix = weight.detach().to("cpu", torch.float32).numpy()
    channels = matrix if recipe.axis == "row" else matrix.T
    blocks, scales = [], []
    with np.errstate(over="ignore"):
        for channel in channels:  # 1  for each channel c in the weight matrix
            codes, index, scale = quantize_channel([f32(w) for w in channel], recipe)  # 2
            blocks.append(pack_channel(codes, index))
            scales.append(scale)
    rows, columns = weight.shape
    return PackedWeight(
        torch.tensor(blocks, dtype=torch.uint8),
        torch.tensor(np.array(scales, f32)),
        (rows, columns),
        axis=recipe.axis,
        recipe=recipe.name,
    )


def quantize_channel(weights: list[np.float32], recipe: Recipe) -> tuple[list[list[int]], list[int], np.float32]:
    """Integer clusters, one index code per pair, and the scale of one channel."""
    absmax = f32(max(abs(w) for w in weights))
    base = absmax / f32(MAX_MAGNITUDE)  # Equation 1
    if base < f32(SMALLEST_SCALE):
        absmax, base, weights = f32(1), f32(1), [f32(0)] * len(weights)

    # 3, 4  divide into clusters of size 3; the last one is padded with zeros
    padded = weights + [f32(0)] * (-len(weights) % CLUSTER_WEIGHTS)
    clusters = [padded[i : i + CLUSTER_WEIGHTS] for i in range(0, len(padded), CLUSTER_WEIGHTS)]
    own = [own_code(cluster, recipe) for cluster in clusters]

    scale = base
    if recipe.search_grid():
        least = None
        for numerator in recipe.search_grid():
            if numerator <= SCALE_GRID_DENOMINATOR:
                candidate = base * f32(numerator / SCALE_GRID_DENOMINATOR)
            else:
                candidate = absmax * f32(numerator / (SCALE_GRID_DENOMINATOR * MAX_MAGNITUDE))
            loss = channel_loss(clusters, own, candidate, numerator, recipe)
            if least is None or loss < least:
                scale, least = candidate, loss

    index = [code for code, _ in choose_codes(clusters, own, scale, recipe)]
    # 25  uniform quantization
    codes = [quantize_cluster(c, index[i // PAIR_CLUSTERS], scale)[0] for i, c in enumerate(clusters)]
    return codes, index, scale


def own_code(cluster: Cluster, recipe: Recipe) -> int:
    """The code of a cluster from its own data (lines 5 to 13)."""
    values = [abs(w) for w in cluster] if recipe.comparison == "absolute" else cluster
    max_val = max(values)  # 6
    min_val = min(values)  # 7
    if max_val > f32(recipe.threshold) * min_val:  # 8  if max_val > 4 x min_val
        smallest = values.index(min_val)
        return 1 + smallest  # 9, 10  the top two values get 3 bits, the remaining one is zero
    return INDEX_ALL_NORMAL  # 12  all values get 2 bits


def choose_codes(
    clusters: list[Cluster], own: list[int], scale: np.float32, recipe: Recipe
) -> list[tuple[int, np.float32]]:
    """The common code and the loss of each pair (lines 14 to 24)."""
    chosen = []
    for first in range(0, len(clusters), PAIR_CLUSTERS):  # 14  foreach cluster
        pair = clusters[first : first + PAIR_CLUSTERS]
        losses = [pair_loss(pair, code, scale, recipe) for code in range(INDEX_CODES)]
        if len(pair) == 1:  # 15  if the cluster has no neighbor
            code = own[first]  # 16  assign default encoding
        elif recipe.pairs == "text" and own[first] == own[first + 1]:
            code = own[first]  # Section III-B: only 'if two adjacent clusters use different encoding schemes'
        else:
            code = losses.index(min(losses))  # 21  arg min over l of Loss(C_i, C_j, l)
        chosen.append((code, losses[code]))
    return chosen


def pair_loss(pair: list[Cluster], code: int, scale: np.float32, recipe: Recipe) -> np.float32:
    total: np.float32 | None = None
    for cluster in pair:
        losses = []
        for x, value in zip(*reversed(quantize_cluster(cluster, code, scale)), strict=True):
            error = x - f32(value)
            losses.append(error * error if recipe.loss == "squared" else abs(error))
        cluster_loss = (losses[0] + losses[1]) + losses[2]
        total = cluster_loss if total is None else total + cluster_loss
    assert total is not None  # a pair has one cluster at least
    return total


def quantize_cluster(cluster: Cluster, code: int, scale: np.float32) -> tuple[list[int], Cluster]:
    """Integer values under this index code, and the scaled weights that they approximate (Equation 1)."""
    scaled = [w / scale for w in cluster]
    limit = MAX_NORMAL if code == INDEX_ALL_NORMAL else MAX_MAGNITUDE
    values = [max(-limit, min(limit, round(float(x)))) for x in scaled]  # round() takes halves to even
    if code != INDEX_ALL_NORMAL:
        values[code - 1] = 0
    return values, scaled


def channel_loss(clusters: list[Cluster], own: list[int], scale: np.float32, numerator: int, recipe: Recipe) -> int:
    """Loss of a channel as an integer that may be compared between scales of the grid."""
    units = sum(round(float(loss) / LOSS_UNIT) for _, loss in choose_codes(clusters, own, scale, recipe))
    return units * numerator ** (2 if recipe.loss == "squared" else 1)


def pack_channel(codes: list[list[int]], index: list[int]) -> list[int]:
    """The bytes of one channel (paper Fig. 4, step 5)."""
    blocks = blocks_per_row(len(codes) * CLUSTER_WEIGHTS)
    codes = codes + [[0] * CLUSTER_WEIGHTS] * (blocks * BLOCK_WEIGHTS // CLUSTER_WEIGHTS - len(codes))
    index = index + [INDEX_ALL_NORMAL] * (blocks * BLOCK_PAIRS - len(index))
    packed: list[int] = []
    for block in range(blocks):
        bits = 0
        for pair in range(BLOCK_PAIRS):
            bits |= index[block * BLOCK_PAIRS + pair] << (pair * INDEX_BITS)
        for cluster in range(BLOCK_CLUSTERS):
            number = block * BLOCK_CLUSTERS + cluster
            payload = encode_cluster(index[number // PAIR_CLUSTERS], codes[number])
            assert payload is not None  # values fit the code that they were rounded for
            bits |= payload << (8 * INDEX_BYTES + cluster * CLUSTER_PAYLOAD_BITS)
        packed.extend(bits.to_bytes(BLOCK_BYTES, "little"))
    return packed
