"""The best codes of one pair of clusters, for many rows at once, when errors of its weights are correlated.

A row's quantization error e costs e M e^T, with M a small positive definite matrix ('metric') that says how much
each weight matters and how errors of two weights add up. With a diagonal metric this is the weighted rounding
of each weight; otherwise it is a closest-vector problem, solved weight by weight with the error of the earlier
ones carried over (Babai's nearest plane), keeping the best few partial solutions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fineq.format import CLUSTER_WEIGHTS, INDEX_ALL_NORMAL, INDEX_CODES, MAX_MAGNITUDE, MAX_NORMAL, PAIR_WEIGHTS


def magnitude_limits(device: torch.device | None = None, largest: int = MAX_MAGNITUDE) -> Tensor:
    """Largest magnitude by [index code, weight of the pair], float64 [4, 6]; nowhere beyond `largest`."""
    limits = torch.full((INDEX_CODES, PAIR_WEIGHTS), float(largest), dtype=torch.float64)
    limits[INDEX_ALL_NORMAL] = min(MAX_NORMAL, largest)
    for code in range(1, INDEX_CODES):
        limits[code, code - 1 :: CLUSTER_WEIGHTS] = 0
    return limits.to(device)


def nearest_codes(
    target: Tensor, scale: Tensor, metric: Tensor, breadth: int = 1, largest: int = MAX_MAGNITUDE
) -> tuple[Tensor, Tensor, Tensor]:
    """The codes of one pair with the least error in the metric.

    Args:
        target: what the six weights should be, float64 [rows, 6].
        scale: float64 [rows].
        metric: symmetric positive definite, float64 [6, 6].
        breadth: partial solutions kept per index code. 1 is exact for a diagonal metric.
        largest: magnitude that a code may have.

    Returns:
        Codes float64 [rows, 6], index codes int64 [rows], loss float64 [rows] in units of the target squared.
    """
    carry, power = _carried_errors(metric)
    x = target / scale[:, None]
    rows = len(x)
    levels = torch.arange(-MAX_MAGNITUDE, MAX_MAGNITUDE + 1, dtype=x.dtype, device=x.device)
    forbidden = levels.abs() > magnitude_limits(x.device, largest)[..., None]  # [index code, weight, level]
    codes = x.new_zeros(rows, INDEX_CODES, 1, PAIR_WEIGHTS)
    errors = torch.zeros_like(codes)
    loss = x.new_zeros(rows, INDEX_CODES, 1)
    for k in range(PAIR_WEIGHTS):
        wanted = x[:, k, None, None] + (errors[..., :k] * carry[:k, k]).sum(dim=-1)
        extended = loss[..., None] + power[k] * (wanted[..., None] - levels).square()
        extended = extended.masked_fill(forbidden[:, k, None], torch.inf).flatten(2)
        if breadth == 1:
            loss, kept = extended.min(dim=2, keepdim=True)
        else:
            loss, kept = extended.sort(dim=2, stable=True)
            loss, kept = loss[..., :breadth], kept[..., :breadth]
        parent = kept.div(len(levels), rounding_mode="floor")[..., None].expand(-1, -1, -1, PAIR_WEIGHTS)
        codes, errors = codes.gather(2, parent), errors.gather(2, parent)
        codes[..., k] = levels[kept % len(levels)]
        errors[..., k] = x[:, k, None, None] - codes[..., k]
    best = loss[..., 0]  # partial solutions are sorted
    index = best.argmin(dim=1)
    picked = torch.arange(rows, device=x.device)
    return codes[picked, index, 0], index, best[picked, index] * scale.square()


def _carried_errors(metric: Tensor) -> tuple[Tensor, Tensor]:
    """From metric = T T^T, T upper triangular: T[j, k] / T[k, k], and T[k, k]^2."""
    flipped = torch.linalg.cholesky(metric.flip(0, 1))
    upper = flipped.flip(0, 1)
    diagonal = upper.diagonal()
    return upper / diagonal, diagonal.square()
