"""The FineQ quantizer (paper Section III, Algorithm 1), vectorised: `fineq.quantize`.

`fineq.quantizer.reference` does the same in plain loops, line by line beside the paper; the two agree bit for bit,
by the rules of `fineq.quantizer.arithmetic`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fineq import kernels
from fineq.format import CLUSTER_WEIGHTS, MAX_MAGNITUDE, MAX_NORMAL, PAIR_CLUSTERS, bytes_per_row, pack
from fineq.quantizer.arithmetic import SMALLEST_SCALE, grid_scales, in_units
from fineq.quantizer.checks import as_tensor, check_finite, check_matrix
from fineq.quantizer.cycle_aware import cycle_aware_codes
from fineq.quantizer.defaults import DEFAULT_RECIPE
from fineq.quantizer.native import quantize_rows
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.pairs import own_codes, pair_codes, split_clusters
from fineq.quantizer.recipes import Recipe, find_recipe

CHUNK_WEIGHTS = 1 << 19
"""Weights worked on at once: bounds the memory beyond input and output to some tens of megabytes."""


def quantize(
    weight: Tensor, recipe: str | Recipe = DEFAULT_RECIPE, name: str = "weight", **options: Any
) -> PackedWeight:
    """Quantize a weight matrix to the FineQ format.

    Args:
        weight: floating point, shape [rows, K] (output channels, inner dimension), any device and strides; an array of
            numpy too. float64 is rounded to float32 first.
        recipe: name of a recipe or a `Recipe`.
        name: what error texts call the tensor.
        options: switches of `Recipe` that differ from the recipe's.

    Returns:
        Blocks and scales on the CPU.

    Raises:
        FineqError: unknown recipe or option, not a float matrix, empty, NaN or infinity (with its position).
    """
    return quantize_measured(weight, find_recipe(recipe, **options), name)


def quantize_measured(
    weight: Tensor, recipe: Recipe, name: str, figures: kernels.RowFigures | None = None
) -> PackedWeight:
    """`quantize`; what it does to the channels is added to `figures`, for those that the kernel measures on its way."""
    weight = as_tensor(weight, name)
    check_matrix(weight, name)
    channels = weight if recipe.axis == "row" else weight.T
    rows, length = channels.shape
    blocks = kernels.empty((rows, bytes_per_row(length)), torch.uint8)
    scales = torch.empty(rows, dtype=torch.float32)
    bad_row = quantize_rows(channels, recipe, blocks, scales, figures)
    if bad_row is None:
        quantize_in_chunks(channels, recipe, blocks, scales, name, figures)
    elif bad_row >= 0:
        check_finite(channels[bad_row : bad_row + 1].to(torch.float32), name, bad_row, recipe.axis == "column")
    return PackedWeight(blocks, scales, (weight.shape[0], weight.shape[1]), axis=recipe.axis, recipe=recipe.name)


def quantize_in_chunks(
    channels: Tensor,
    recipe: Recipe,
    blocks: Tensor,
    scales: Tensor,
    name: str,
    figures: kernels.RowFigures | None = None,
) -> None:
    """Fill blocks [channels, bytes] and scales [channels] a piece at a time."""
    step = max(1, CHUNK_WEIGHTS // channels.shape[1])
    for start in range(0, len(channels), step):
        part = slice(start, start + step)
        chunk = channels[part].to(torch.float32).contiguous()
        check_finite(chunk, name, start, transposed=recipe.axis == "column")
        if quantize_rows(chunk, recipe, blocks[part], scales[part], figures) is None:
            codes, index, scale = quantize_channels(chunk, recipe)
            blocks[part] = torch.from_numpy(pack(codes.cpu().numpy(), index.cpu().numpy()))
            scales[part] = scale.cpu()


# -- the algorithm, to be read beside Section III of the paper -------------------------------------------------


def quantize_channels(weight: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor, Tensor]:
    """Codes int8 [rows, K], index codes uint8 [rows, ceil(K/6)] and scales float32 [rows] of float32 [rows, K]."""
    absmax = weight.abs().amax(dim=1)
    base = absmax / torch.full_like(absmax, MAX_MAGNITUDE)  # Equation 1, b = 3
    is_zero = base < SMALLEST_SCALE
    absmax, base = (torch.where(is_zero, torch.ones_like(each), each) for each in (absmax, base))
    clusters = split_clusters(torch.where(is_zero[:, None], torch.zeros_like(weight), weight))
    own = own_codes(clusters, recipe)
    lone = -(-weight.shape[1] // CLUSTER_WEIGHTS) % PAIR_CLUSTERS == 1
    if recipe.cycle_weight:
        values, index, scales = cycle_aware_codes(clusters, own, lone, base, weight.shape[1], recipe)
    else:
        scales = search_scales(clusters, own, lone, absmax, base, recipe) if recipe.search_grid() else base
        x = clusters / scales[:, None]
        index, _ = pair_codes(x, own, lone, recipe)
        values = x.round()
        normal, outlier = values.clamp(-MAX_NORMAL, MAX_NORMAL), values.clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE)
        values = torch.where(index == 0, normal, outlier)
        position = torch.arange(1, CLUSTER_WEIGHTS + 1, device=weight.device)[:, None, None]
        values = torch.where(index == position, torch.zeros_like(values), values)
    codes = values.permute(2, 3, 0, 1).reshape(weight.shape[0], -1)[:, : weight.shape[1]].to(torch.int8)
    return codes, index.to(torch.uint8), scales


def search_scales(clusters: Tensor, own: Tensor, lone: bool, absmax: Tensor, base: Tensor, recipe: Recipe) -> Tensor:
    """The scale of the grid with the least loss of the whole channel, in units of the weights: [rows]."""
    power = 2 if recipe.loss == "squared" else 1
    best, least = base, None
    for numerator in recipe.search_grid():
        scales = grid_scales(absmax, base, numerator)
        _, losses = pair_codes(clusters / scales[:, None], own, lone, recipe)
        loss = in_units(losses).sum(dim=1) * numerator**power
        if least is None:
            best, least = scales, loss
        else:
            best, least = torch.where(loss < least, scales, best), torch.minimum(loss, least)
    return best
