"""The FineQ quantizer (paper Section III, Algorithm 1), vectorised: `fineq.quantize`.

`fineq.quantizer.reference` does the same in plain loops, line by line beside the paper; the two agree bit for bit.
That needs exact arithmetic rules. All of it is IEEE float32, one operation at a time, no fused multiply-add:

* scale = absmax / 3. If that is below `SMALLEST_SCALE` the scale is 1 and all codes of the channel are 0.
* x = w / scale (a division, never a multiplication by the reciprocal).
* value = round(x), half to even, then clamped to -1..1 (2 bits) or -3..3 (3 bits).
* outliers: max > threshold * min.
* loss of a weight: (x - value)^2 or |x - value|; of a cluster: (l0 + l1) + l2; of a pair: first + second.
* first one wins among equals: smallest weight of a cluster, code of a pair, scale of the grid.
* scale search: the losses of the pairs become integers in units of 2^-20 (half to even) before they are
  summed, so that the sum does not depend on its order, on threads or on the machine.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fineq import kernels
from fineq.common.errors import FineqError
from fineq.format import (
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_CODES,
    MAX_MAGNITUDE,
    MAX_NORMAL,
    PAIR_CLUSTERS,
    PAIR_WEIGHTS,
    bytes_per_row,
    pack,
)
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.recipes import Recipe, find_recipe

SCALE_GRID_DENOMINATOR = 32
SCALE_GRID = tuple(range(SCALE_GRID_DENOMINATOR, 2, -1))
"""Scales that the search tries: n/32 * absmax/3 for n = 32 down to 3."""

SMALLEST_SCALE = 2.0**-100
"""Below this a channel counts as zero: far from subnormal numbers, far below any real weight."""

LOSS_UNIT = 2.0**-20
"""Unit of the integers that the scale search adds up; a row of 10^8 weights does not overflow 64 bits."""

CHUNK_WEIGHTS = 1 << 19
"""Weights worked on at once: bounds the memory beyond input and output to some tens of megabytes."""

FLOAT_TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def quantize(weight: Tensor, recipe: str | Recipe = "paper", name: str = "weight", **options: Any) -> PackedWeight:
    """Quantize a weight matrix to the FineQ format.

    Args:
        weight: floating point, shape [rows, K] (output channels, inner dimension), any device and strides.
            float64 is rounded to float32 first.
        recipe: name of a recipe or a `Recipe`.
        name: what error texts call the tensor.
        options: switches of `Recipe` that differ from the recipe's.

    Returns:
        Blocks and scales on the CPU.

    Raises:
        FineqError: unknown recipe or option, not a float matrix, empty, NaN or infinity (with its position).
    """
    recipe = find_recipe(recipe, **options)
    weight = torch.as_tensor(weight).detach()
    check_matrix(weight, name)
    channels = weight if recipe.axis == "row" else weight.T
    rows, length = channels.shape
    blocks = kernels.empty((rows, bytes_per_row(length)), torch.uint8)
    scales = torch.empty(rows, dtype=torch.float32)
    bad_row = kernels.quantize_rows(channels, recipe, blocks, scales)
    if bad_row is None:
        quantize_in_chunks(channels, recipe, blocks, scales, name)
    elif bad_row >= 0:
        check_finite(channels[bad_row : bad_row + 1].to(torch.float32), name, bad_row, recipe.axis == "column")
    return PackedWeight(blocks, scales, tuple(weight.shape), axis=recipe.axis, recipe=recipe.name)


def quantize_in_chunks(channels: Tensor, recipe: Recipe, blocks: Tensor, scales: Tensor, name: str) -> None:
    """Fill blocks [channels, bytes] and scales [channels] a piece at a time."""
    step = max(1, CHUNK_WEIGHTS // channels.shape[1])
    for start in range(0, len(channels), step):
        part = slice(start, start + step)
        chunk = channels[part].to(torch.float32).contiguous()
        check_finite(chunk, name, start, transposed=recipe.axis == "column")
        if kernels.quantize_rows(chunk, recipe, blocks[part], scales[part]) is None:
            codes, index, scale = quantize_channels(chunk, recipe)
            blocks[part] = torch.from_numpy(pack(codes.cpu().numpy(), index.cpu().numpy()))
            scales[part] = scale.cpu()


# -- the algorithm, to be read beside Section III of the paper -------------------------------------------------


def quantize_channels(weight: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Codes int8 [rows, K], index codes uint8 [rows, ceil(K/6)] and scales float32 [rows] of float32 [rows, K]."""
    absmax = weight.abs().amax(dim=1)
    base = absmax / torch.full_like(absmax, MAX_MAGNITUDE)  # Equation 1, b = 3
    is_zero = base < SMALLEST_SCALE
    base = torch.where(is_zero, torch.ones_like(base), base)
    clusters = split_clusters(torch.where(is_zero[:, None], torch.zeros_like(weight), weight))
    own = own_codes(clusters, recipe)
    lone = -(-weight.shape[1] // CLUSTER_WEIGHTS) % PAIR_CLUSTERS == 1
    if recipe.cycle_weight:
        from fineq.quantizer.cycle_aware import cycle_aware_codes

        values, index, scales = cycle_aware_codes(clusters, own, lone, base, weight.shape[1], recipe)
    else:
        scales = base if recipe.scale == "absmax" else search_scales(clusters, own, lone, base, recipe)
        x = clusters / scales[:, None]
        index, _ = pair_codes(x, own, lone, recipe)
        values = x.round()
        normal, outlier = values.clamp(-MAX_NORMAL, MAX_NORMAL), values.clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE)
        values = torch.where(index == 0, normal, outlier)
        position = torch.arange(1, CLUSTER_WEIGHTS + 1, device=weight.device)[:, None, None]
        values = torch.where(index == position, torch.zeros_like(values), values)
    codes = values.permute(2, 3, 0, 1).reshape(weight.shape[0], -1)[:, : weight.shape[1]].to(torch.int8)
    return codes, index.to(torch.uint8), scales


def split_clusters(weight: Tensor) -> Tensor:
    """Zero-padded pairs of clusters (lines 3, 4): shape [2 clusters, 3 weights, rows, pairs]."""
    rows, length = weight.shape
    padded = torch.nn.functional.pad(weight, (0, -length % PAIR_WEIGHTS))
    return padded.reshape(rows, -1, PAIR_CLUSTERS, CLUSTER_WEIGHTS).permute(2, 3, 0, 1).contiguous()


def own_codes(clusters: Tensor, recipe: Recipe) -> Tensor:
    """The code that each cluster would choose alone (lines 5 to 13): shape [2, rows, pairs]."""
    values = clusters.abs() if recipe.comparison == "absolute" else clusters
    has_outliers = values.amax(dim=1) > torch.tensor(recipe.threshold, dtype=torch.float32) * values.amin(dim=1)
    smallest, _ = first_minimum(list(values.unbind(dim=1)))
    return torch.where(has_outliers, 1 + smallest, 0)


def pair_codes(x: Tensor, own: Tensor, lone: bool, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The common code of each pair (lines 14 to 24) and its loss: both [rows, pairs].

    A last cluster without neighbour (line 15) keeps the code that it chose alone.
    """
    measure = torch.square if recipe.loss == "squared" else torch.abs
    rounded = x.round()
    zeroed = measure(x)
    normal = measure(x - rounded.clamp(-MAX_NORMAL, MAX_NORMAL))
    outlier = measure(x - rounded.clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE))

    return choose_codes(zeroed, normal, outlier, own[0], kept_codes(own, lone, recipe))


def kept_codes(own: Tensor, lone: bool, recipe: Recipe) -> Tensor:
    """Which pairs keep the code of their first cluster whatever the loss: bool [rows, pairs]."""
    keeps_own = torch.zeros_like(own[0], dtype=torch.bool) if recipe.pairs == "argmin" else own[0] == own[1]
    if lone:
        keeps_own[:, -1] = True
    return keeps_own


def choose_codes(zeroed: Tensor, normal: Tensor, outlier: Tensor, own: Tensor, keeps: Tensor) -> tuple[Tensor, Tensor]:
    """The code of each pair, and its loss: both [rows, pairs].

    Args:
        zeroed, normal, outlier: errors [2, 3, rows, pairs] of a weight that is set to zero, has 2 bits, has 3 bits.
        own, keeps: [rows, pairs]: the code of pairs that do not choose, and which those are.
    """
    losses = []
    for code in range(INDEX_CODES):
        terms = list((normal if code == INDEX_ALL_NORMAL else outlier).unbind(dim=1))
        if code != INDEX_ALL_NORMAL:
            terms[code - 1] = zeroed[:, code - 1]
        cluster_loss = (terms[0] + terms[1]) + terms[2]
        losses.append(cluster_loss[0] + cluster_loss[1])
    index, least = first_minimum(losses)
    own_loss = torch.stack(losses).gather(0, own[None])[0]
    return torch.where(keeps, own, index), torch.where(keeps, own_loss, least)


def first_minimum(candidates: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Position in the list, and value, of the first least candidate, element by element."""
    least, position = candidates[0], torch.zeros_like(candidates[0], dtype=torch.int64)
    for number, candidate in enumerate(candidates[1:], start=1):
        is_less = candidate < least
        least = torch.where(is_less, candidate, least)
        position.masked_fill_(is_less, number)
    return position, least


def in_units(losses: Tensor) -> Tensor:
    """Losses as integers, int64 of the same shape: their sum does not depend on its order."""
    return (losses / torch.full_like(losses, LOSS_UNIT)).round().to(torch.int64)


def search_scales(clusters: Tensor, own: Tensor, lone: bool, base: Tensor, recipe: Recipe) -> Tensor:
    """The scale of the grid with the least loss of the whole channel, in units of the weights: [rows]."""
    power = 2 if recipe.loss == "squared" else 1
    best, least = base, None
    for numerator in SCALE_GRID:
        scales = base * torch.full_like(base, numerator / SCALE_GRID_DENOMINATOR)
        _, losses = pair_codes(clusters / scales[:, None], own, lone, recipe)
        loss = in_units(losses).sum(dim=1) * numerator**power
        if least is None:
            best, least = scales, loss
        else:
            best, least = torch.where(loss < least, scales, best), torch.minimum(loss, least)
    return best


# -- bad input -------------------------------------------------------------------------------------------------


def check_matrix(weight: Tensor, name: str) -> None:
    """Raise unless `weight` is a floating-point matrix with at least one row and one column."""
    if weight.dtype not in FLOAT_TYPES:
        dtype = str(weight.dtype).removeprefix("torch.")
        raise FineqError(f"{name} is {dtype}: it must be float32, float16, bfloat16 or float64")
    if weight.ndim != 2:
        raise FineqError(f"{name} has shape {list(weight.shape)}: it must be a matrix of shape [rows, columns]")
    if 0 in weight.shape:
        raise FineqError(f"{name} has shape {list(weight.shape)}: it must have at least one row and one column")


def float_matrix(weight: Tensor, name: str) -> Tensor:
    """`weight` in float32, after the checks that every quantizer makes: a matrix, floating-point, finite."""
    check_matrix(weight, name)
    weight = weight.to(torch.float32)
    check_finite(weight, name)
    return weight


def check_finite(chunk: Tensor, name: str, first_row: int = 0, transposed: bool = False) -> None:
    """Raise with the position of the first NaN or infinity."""
    finite = torch.isfinite(chunk)
    if not finite.all():
        row, column = (~finite).nonzero()[0].tolist()
        position = [row + first_row, column][:: -1 if transposed else 1]
        value = "NaN" if chunk[row, column].isnan() else "infinite"
        raise FineqError(f"{name}{position} is {value}: all weights must be finite float32 numbers")
