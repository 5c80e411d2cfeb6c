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
from fineq.quantizer.arithmetic import first_minimum


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
    carry, power = carried_errors(metric)
    codes, index, loss = nearest_in_units(target / scale[:, None], carry, power, breadth, largest)
    return codes, index, loss * scale.square()


def nearest_in_units(
    x: Tensor, carry: Tensor, power: Tensor, breadth: int = 1, largest: int = MAX_MAGNITUDE
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for targets and losses in units of the codes.

    With a breadth of 1 the result is defined to the last bit: weights from first to last, of which each rounds to
    the nearest code, half to even; the first index code wins among equals. The kernel does the same.

    Args:
        x: float64 [rows, 6].
        carry, power: of the metric, see `carried_errors`.
    """
    if breadth > 1:
        return _nearest_of_several(x, carry, power, breadth, largest)
    limits = magnitude_limits(x.device, largest)
    errors: list[Tensor] = []  # by weight, [rows, index code]
    codes: list[Tensor] = []
    loss = x.new_zeros(len(x), INDEX_CODES)
    for k in range(PAIR_WEIGHTS):
        wanted = _wanted(x[:, k, None], errors, carry, k)
        codes.append(wanted.clamp(-limits[:, k], limits[:, k]).round())
        missed = wanted - codes[k]
        loss += power[k] * (missed * missed)
        errors.append(x[:, k, None] - codes[k])
    index, least = first_minimum(list(loss.unbind(dim=1)))
    return torch.stack(codes, dim=2)[torch.arange(len(x), device=x.device), index], index, least


def loss_in_units(errors: Tensor, carry: Tensor, power: Tensor) -> Tensor:
    """e M e^T as `nearest_in_units` sums it: float64 [rows], for errors [rows, 6] in units of the codes."""
    columns = list(errors.unbind(dim=1))
    loss = torch.zeros_like(columns[0])
    for k, column in enumerate(columns):
        missed = _wanted(column, columns[:k], carry, k)
        loss = loss + power[k] * (missed * missed)
    return loss


def _wanted(x: Tensor, errors: list[Tensor], carry: Tensor, k: int) -> Tensor:
    """What a weight should be once the earlier ones have their errors."""
    for j, error in enumerate(errors):
        x = x + error * carry[j, k]
    return x


def _nearest_of_several(
    x: Tensor, carry: Tensor, power: Tensor, breadth: int, largest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """`nearest_in_units` with more partial solutions than one."""
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
        loss, kept = extended.sort(dim=2, stable=True)
        loss, kept = loss[..., :breadth], kept[..., :breadth]
        parent = kept.div(len(levels), rounding_mode="floor")[..., None].expand(-1, -1, -1, PAIR_WEIGHTS)
        codes, errors = codes.gather(2, parent), errors.gather(2, parent)
        codes[..., k] = levels[kept % len(levels)]
        errors[..., k] = x[:, k, None, None] - codes[..., k]
    best = loss[..., 0]  # partial solutions are sorted
    index = best.argmin(dim=1)
    picked = torch.arange(rows, device=x.device)
    return codes[picked, index, 0], index, best[picked, index]


def carried_errors(metric: Tensor) -> tuple[Tensor, Tensor]:
    """From metric = T T^T, T upper triangular: T[j, k] / T[k, k], and T[k, k]^2. Metrics [..., 6, 6]."""
    return from_factor(torch.linalg.cholesky(metric.flip(-2, -1)).flip(-2, -1))


def from_factor(upper: Tensor) -> tuple[Tensor, Tensor]:
    """`carried_errors` of a metric by its factor T."""
    diagonal = upper.diagonal(dim1=-2, dim2=-1)
    return upper / diagonal[..., None, :], diagonal.square()
