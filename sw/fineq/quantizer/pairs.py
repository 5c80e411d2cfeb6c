"""The index codes of clusters and pairs, to be read beside Section III-B of the paper.

The numbers of lines are those of Algorithm 1. Tensors hold one cluster of every pair after the other: the first two
dimensions of [2 clusters, 3 weights, rows, pairs].
"""

from __future__ import annotations

import torch
from torch import Tensor

from fineq.format import (
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_CODES,
    MAX_MAGNITUDE,
    MAX_NORMAL,
    PAIR_CLUSTERS,
    PAIR_WEIGHTS,
)
from fineq.quantizer.arithmetic import first_minimum
from fineq.quantizer.recipes import Recipe


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
