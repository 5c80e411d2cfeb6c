"""The steps of the solver on rows, with tensors; the native kernel (kernels/solve.cpp) gives the same bits.

So that it can, the order of every sum is part of the definition: from the first term to the last, one float64
operation at a time, no fused multiply-add. A product of matrices therefore is a sum of outer products here. The
metric, which both get, may come out of any library.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fineq.calibrated.metric import Metric
from fineq.calibrated.options import SolverOptions
from fineq.calibrated.pairs import loss_in_units, magnitude_limits, nearest_in_units
from fineq.format import PAIR_WEIGHTS
from fineq.quantizer.arithmetic import CLIPPED_GRID, SCALE_GRID_DENOMINATOR, SMALLEST_SCALE, first_minimum

IMPROVEMENT = 1 - 1e-9
"""A sweep changes a pair only if its loss falls below that share of the present one: rounding is no reason."""

CHUNK_WEIGHTS = 1 << 21
"""Weights, times scales tried at once, that are worked on together: bounds the memory, and every chunk costs calls."""


def solve_rows(weight: Tensor, metric: Metric, options: SolverOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Quantize rows.

    Args:
        weight: float64 [rows, K] in the order of the metric.

    Returns:
        Codes int8 [rows, K], index codes uint8 [rows, pairs], scales float32 [rows].
    """
    step = max(1, CHUNK_WEIGHTS // (weight.shape[1] * max(1, len(options.feedback_scales))))
    parts = [_solve_chunk(rows, metric, options) for rows in weight.split(step)]
    codes, index, scales = (torch.cat(part) for part in zip(*parts, strict=True))
    return codes.to(torch.int8), index.to(torch.uint8), scales.to(torch.float32)


def _solve_chunk(weight: Tensor, metric: Metric, options: SolverOptions) -> tuple[Tensor, Tensor, Tensor]:
    base = weight.abs().amax(dim=1) / options.largest
    is_zero = base < SMALLEST_SCALE
    base = torch.where(is_zero, 1.0, base)
    weight = torch.where(is_zero[:, None], 0.0, weight)
    importance = metric.matrix.diagonal()
    scales = _scale_on_diagonal(weight, importance, base, options.largest)
    if options.hessian == "full":
        codes, index, scales = _best_feedback(weight, metric, scales, options)
    else:
        codes, index, _ = _round_independently(weight, importance, scales, options.largest)
    if options.sweeps:
        sweeps = _Sweeps(weight, metric, codes, index, scales, options)
        for _ in range(options.sweeps):
            sweeps.fit_scales()
            if not sweeps.sweep():
                break
        codes, index, scales = sweeps.codes, sweeps.index, sweeps.scales
    return codes, index, torch.where(is_zero, 1.0, scales)


def in_order(terms: Tensor) -> Tensor:
    """The sum along the last dimension, from the first term to the last."""
    return terms.cumsum(dim=-1)[..., -1]


def outer_products(factors: Tensor, rows: Tensor) -> Tensor:
    """`factors @ rows`, for [n, j] and [j, K], the terms of every sum in their order."""
    result = factors.new_zeros(len(factors), rows.shape[1])
    for factor, row in zip(factors.unbind(dim=1), rows, strict=True):
        result += factor[:, None] * row
    return result


def _float32(scales: Tensor) -> Tensor:
    """What the format can store; every choice of codes is made for exactly that scale."""
    return scales.to(torch.float32).to(torch.float64)


# -- scales on the diagonal ------------------------------------------------------------------------------------


def _scale_on_diagonal(weight: Tensor, importance: Tensor, base: Tensor, largest: int) -> Tensor:
    """The multiple of `base` up to 1, in the steps of recipe `mse-clipped`, with the least weighted error."""
    best, least = base, torch.full_like(base, torch.inf)
    for numerator in CLIPPED_GRID:
        scales = _float32(base * (numerator / SCALE_GRID_DENOMINATOR))
        _, _, loss = _round_independently(weight, importance, scales, largest)
        best, least = torch.where(loss < least, scales, best), torch.minimum(loss, least)
    return best


def _round_independently(
    weight: Tensor, importance: Tensor, scales: Tensor, largest: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted rounding and code choice, no feedback: codes, index codes, loss of each row."""
    rows = len(weight)
    x = (weight / scales[:, None]).view(rows, -1, PAIR_WEIGHTS)
    importance = importance.view(-1, PAIR_WEIGHTS)
    limits = magnitude_limits(weight.device, largest)
    rounded = x.round()
    losses = []
    for limit in limits.unbind():
        missed = x - rounded.clamp(-limit, limit)
        losses.append(in_order(importance * (missed * missed)))
    index, least = first_minimum(losses)
    limit = limits[index]
    return rounded.clamp(-limit, limit).view(rows, -1), index, in_order(least) * (scales * scales)


# -- error feedback --------------------------------------------------------------------------------------------


def _best_feedback(
    weight: Tensor, metric: Metric, scales: Tensor, options: SolverOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Error feedback at several scales per row, the best kept."""
    rows, tried = len(weight), len(options.feedback_scales)
    factors = torch.tensor(options.feedback_scales, dtype=torch.float64, device=weight.device)
    candidates = _float32(factors[:, None] * scales)
    codes, index, losses = _feedback((weight / candidates[..., None]).flatten(0, 1), metric, options)
    losses = losses.view(tried, rows) * (candidates * candidates)
    best, _ = first_minimum(list(losses.unbind()))
    picked = best * rows + torch.arange(rows, device=weight.device)
    return codes[picked], index[picked], candidates.flatten()[picked]


def _feedback(x: Tensor, metric: Metric, options: SolverOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Codes pair by pair; after each, the later columns move to where they compensate its error best.

    All in units of the codes. The losses of the pairs, each with all later columns free, add up to that of the row.
    """
    assert metric.spread is not None and metric.feedback_carry is not None and metric.feedback_power is not None
    x, loss, index = x.clone(), torch.zeros_like(x[:, 0]), []
    for pair, (carry, power) in enumerate(zip(metric.feedback_carry, metric.feedback_power, strict=True)):
        first, end = pair * PAIR_WEIGHTS, (pair + 1) * PAIR_WEIGHTS
        target = x[:, first:end].clone()
        x[:, first:end], chosen, lost = nearest_in_units(target, carry, power, options.breadth, options.largest)
        index.append(chosen)
        loss = loss + lost
        later = x[:, end:]
        for column, error in enumerate((target - x[:, first:end]).unbind(dim=1), start=first):
            later -= error[:, None] * metric.spread[column, end:]
    return x, torch.stack(index, dim=1), loss


# -- sweeps ----------------------------------------------------------------------------------------------------


class _Sweeps:
    """Codes that change one pair at a time, and scales that follow them.

    Kept beside the codes: weights times the metric, which never changes, and codes times the metric, which a changed
    code changes by a row of the metric. The gradient of the row's error is the one less scale times the other.
    """

    def __init__(
        self, weight: Tensor, metric: Metric, codes: Tensor, index: Tensor, scales: Tensor, options: SolverOptions
    ):
        self.weight, self.metric, self.options = weight, metric, options
        self.codes, self.index, self.scales = codes.clone(), index.clone(), scales
        self.weight_product = outer_products(weight, metric.matrix)
        self.code_product = outer_products(codes, metric.matrix)

    def fit_scales(self) -> None:
        """The scale with the least error for the codes; the old one where it would not be positive or not better."""
        match, power = in_order(self.code_product * self.weight), in_order(self.code_product * self.codes)
        fitted = _float32(match / torch.where(power > 0, power, 1.0))
        twice = match + match
        before = self.scales * (self.scales * power - twice)
        after = fitted * (fitted * power - twice)
        better = (power > 0) & (fitted > SMALLEST_SCALE) & (after < before)
        self.scales = torch.where(better, fitted, self.scales)

    def sweep(self) -> bool:
        """Every pair once: its best codes with all others fixed. Returns whether any changed."""
        changed = False
        metric, scale = self.metric, self.scales[:, None]
        for pair in range(self.index.shape[1]):
            first, end = pair * PAIR_WEIGHTS, (pair + 1) * PAIR_WEIGHTS
            carry, power = metric.carry[pair], metric.power[pair]
            gradient = self.weight_product[:, first:end] - scale * self.code_product[:, first:end]
            off = outer_products(gradient, metric.inverse[pair]) / scale
            codes = self.codes[:, first:end]
            proposed, chosen, loss = nearest_in_units(
                codes + off, carry, power, self.options.breadth, self.options.largest
            )
            better = loss < loss_in_units(off, carry, power) * IMPROVEMENT
            if better.any():
                changed = True
                moves = torch.where(better[:, None], proposed - codes, 0.0)
                self.index[:, pair] = torch.where(better, chosen, self.index[:, pair])
                self.codes[:, first:end] += moves
                for column, move in enumerate(moves.unbind(dim=1), start=first):
                    self.code_product += move[:, None] * metric.matrix[column]
        return changed
