"""One linear layer: scales and codes with the least error in its outputs.

With X the layer's calibration inputs and H = X^T X / tokens, a row's error e (weights minus quantized weights)
changes the outputs by e H e^T on average. H as the identity is the plain squared error; its diagonal alone
weights each input channel with its mean square; the full matrix also lets later weights make up for the errors
of earlier ones. The steps, each a switch:

1. scale search on the diagonal of H, as recipe `mse` does with equal weights;
2. error feedback in steps of a pair: the pair's codes are chosen in the metric that remains when all later
   columns are free to compensate, then the later columns are moved to their optimum (GPTQ, arXiv 2210.17323,
   with the pair of clusters in the place of the single column), for several scales per row, best one kept;
3. sweeps over the pairs that change one pair at a time, all others fixed, and put the scale at its optimum for
   the codes; each accepted change lowers the error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.calibrated.pairs import magnitude_limits, nearest_codes
from fineq.common.errors import FineqError
from fineq.format import MAX_MAGNITUDE, PAIR_WEIGHTS, pairs_per_row
from fineq.quantizer.arithmetic import SCALE_GRID, SCALE_GRID_DENOMINATOR, SMALLEST_SCALE
from fineq.quantizer.packed import PackedWeight

CHUNK_WEIGHTS = 1 << 21
"""Weights, times scales tried at once, that the solver works on together: bounds its memory."""


@dataclass(frozen=True)
class SolverOptions:
    """Switches of the solver.

    Attributes:
        hessian: `identity`, `diagonal` or `full`: which part of H is looked at.
        feedback_scales: multiples of the scale found on the diagonal that are tried with feedback.
        sweeps: rounds of step 3.
        breadth: partial solutions per pair, see `nearest_codes`.
        damping: added to the diagonal of H, times its mean.
        ordered: pairs with the largest inputs first.
        largest: magnitude that a code may have. 2 instead of the format's 3: one cycle for every weight vector on an
            array with encoding `2s-unary` or `cluster`, two, not three, with `unary` (docs/quantizer/encodings.md).
    """

    hessian: str = "full"
    feedback_scales: tuple[float, ...] = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3)
    sweeps: int = 4
    breadth: int = 1
    damping: float = 0.05
    ordered: bool = True
    largest: int = MAX_MAGNITUDE

    def __post_init__(self) -> None:
        if self.hessian not in ("identity", "diagonal", "full"):
            raise FineqError(f"hessian is {self.hessian!r}: choose one of identity, diagonal, full")
        if self.largest not in range(1, MAX_MAGNITUDE + 1):
            raise FineqError(f"largest is {self.largest!r}: choose a magnitude from 1 to {MAX_MAGNITUDE}")


def solve(weight: Tensor, hessian: Tensor | None, options: SolverOptions, recipe: str = "custom") -> PackedWeight:
    """Quantize one matrix.

    Args:
        weight: floating point [rows, K].
        hessian: mean of x^T x over the calibration tokens, [K, K]; None: the identity.
        options: see there.
        recipe: name that the result carries.
    """
    metric, order = _prepare(weight.shape[1], hessian, options, weight.device)
    padded = torch.nn.functional.pad(weight.detach().to(torch.float64), (0, -weight.shape[1] % PAIR_WEIGHTS))
    step = max(1, CHUNK_WEIGHTS // (padded.shape[1] * max(1, len(options.feedback_scales))))
    results = [_solve_rows(rows[:, order], metric, options) for rows in padded.split(step)]
    codes, index, scales = (torch.cat(parts) for parts in zip(*results, strict=True))
    codes = codes[:, order.argsort()][:, : weight.shape[1]]
    index = index[:, order[::PAIR_WEIGHTS].div(PAIR_WEIGHTS, rounding_mode="floor").argsort()]
    return PackedWeight.from_codes(codes.to(torch.int8), scales, index.to(torch.uint8), recipe=recipe)


def output_error(weight: Tensor, quantized: Tensor, hessian: Tensor) -> Tensor:
    """Mean squared change of each output over the calibration tokens, e H e^T: float64 [rows]."""
    error = weight.to(torch.float64) - quantized.to(torch.float64)
    return ((error @ hessian.to(torch.float64)) * error).sum(dim=1)


def _prepare(columns: int, hessian: Tensor | None, options: SolverOptions, device) -> tuple[Tensor, Tensor]:
    """The damped metric over whole pairs in processing order, and that order of the columns."""
    size = pairs_per_row(columns) * PAIR_WEIGHTS
    metric = torch.eye(size, dtype=torch.float64, device=device)
    if hessian is not None and options.hessian != "identity":
        hessian = hessian.to(device, torch.float64)
        mean = hessian.diagonal().mean()
        if mean > 0:
            metric[:columns, :columns] = hessian / mean + options.damping * metric[:columns, :columns]
        if options.hessian == "diagonal":
            metric = metric.diagonal().diag()
    weights = metric.diagonal().clone()
    weights[columns:] = 0
    pairs = weights.view(-1, PAIR_WEIGHTS).sum(dim=1)
    first = pairs.argsort(descending=True, stable=True) if options.ordered else torch.arange(len(pairs), device=device)
    order = (first[:, None] * PAIR_WEIGHTS + torch.arange(PAIR_WEIGHTS, device=device)).flatten()
    return metric[order][:, order], order


def _solve_rows(weight: Tensor, metric: Tensor, options: SolverOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Codes float64 [rows, K], index codes [rows, pairs] and scales float32 [rows]; K whole pairs."""
    base = weight.abs().amax(dim=1) / options.largest
    is_zero = base < SMALLEST_SCALE
    base = torch.where(is_zero, 1.0, base)
    weight = torch.where(is_zero[:, None], 0.0, weight)
    scales = _scale_on_diagonal(weight, metric.diagonal(), base, options.largest)
    if options.hessian == "full":
        codes, index, scales = _best_feedback(weight, metric, scales, options)
    else:
        codes, index, _ = _round_independently(weight, metric.diagonal(), scales, options.largest)
    for _ in range(options.sweeps):
        scales = _optimal_scales(weight, metric, codes, scales)
        codes, index, changed = _sweep(weight, metric, codes, index, scales, options)
        if not changed:
            break
    return codes, index, torch.where(is_zero, 1.0, scales).to(torch.float32)


def _float32(scales: Tensor) -> Tensor:
    """What the format can store; every choice of codes is made for exactly that scale."""
    return scales.to(torch.float32).to(torch.float64)


def _scale_on_diagonal(weight: Tensor, importance: Tensor, base: Tensor, largest: int) -> Tensor:
    """The multiple of `base` up to 1, in the steps of recipe `mse`, with the least weighted error."""
    best, least = base, torch.full_like(base, torch.inf)
    for numerator in SCALE_GRID:
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
    losses = torch.stack(
        [(importance * (x - rounded.clamp(-limit, limit)).square()).sum(dim=-1) for limit in limits.unbind()]
    )
    least, index = losses.min(dim=0)
    limit = limits[index]
    return rounded.clamp(-limit, limit).view(rows, -1), index, least.sum(dim=1) * scales.square()


def _best_feedback(weight: Tensor, metric: Tensor, scales: Tensor, options: SolverOptions):
    """Error feedback at several scales per row, the best kept."""
    rows, tried = len(weight), len(options.feedback_scales)
    factors = torch.tensor(options.feedback_scales, dtype=torch.float64, device=weight.device)
    candidates = _float32(scales[:, None] * factors).flatten()
    repeated = weight.repeat_interleave(tried, dim=0)
    codes, index = _feedback(repeated, metric, candidates, options)
    loss = output_error(repeated, codes * candidates[:, None], metric).view(rows, tried)
    best = loss.argmin(dim=1) + torch.arange(rows, device=weight.device) * tried
    return codes[best], index[best], candidates[best]


def _feedback(weight: Tensor, metric: Tensor, scales: Tensor, options: SolverOptions) -> tuple[Tensor, Tensor]:
    """Codes pair by pair; after each, the later columns move to where they compensate its error best."""
    weight = weight.clone()
    codes = torch.empty_like(weight)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(metric))
    upper = torch.linalg.cholesky(inverse, upper=True)  # rows: what remains once the earlier columns are fixed
    index = []
    for first in range(0, weight.shape[1], PAIR_WEIGHTS):
        here, later = slice(first, first + PAIR_WEIGHTS), slice(first + PAIR_WEIGHTS, None)
        corner = upper[here, here]
        remaining = torch.cholesky_inverse(corner, upper=True)
        codes[:, here], chosen, _ = nearest_codes(weight[:, here], scales, remaining, options.breadth, options.largest)
        index.append(chosen)
        error = weight[:, here] - codes[:, here] * scales[:, None]
        spread = torch.linalg.solve_triangular(corner, upper[here, later], upper=True)
        weight[:, later] -= error @ spread
    return codes, torch.stack(index, dim=1)


def _optimal_scales(weight: Tensor, metric: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """The scale with the least error for the codes; the old one where it would not be positive or not better."""
    product = codes @ metric
    power = (product * codes).sum(dim=1)
    fitted = _float32((product * weight).sum(dim=1) / torch.where(power > 0, power, 1.0))
    usable = (power > 0) & (fitted > SMALLEST_SCALE)
    fitted = torch.where(usable, fitted, scales)
    before = output_error(weight, codes * scales[:, None], metric)
    after = output_error(weight, codes * fitted[:, None], metric)
    return torch.where(after < before, fitted, scales)


def _sweep(weight: Tensor, metric: Tensor, codes: Tensor, index: Tensor, scales: Tensor, options: SolverOptions):
    """Every pair once: its best codes with all others fixed. Returns codes, index codes, whether any changed."""
    codes, index = codes.clone(), index.clone()
    error = weight - codes * scales[:, None]
    gradient = error @ metric
    changed = False
    for pair in range(index.shape[1]):
        here = slice(pair * PAIR_WEIGHTS, (pair + 1) * PAIR_WEIGHTS)
        block = metric[here, here]
        others = gradient[:, here] - error[:, here] @ block
        shift = torch.linalg.solve(block, others, left=False)
        target = weight[:, here] + shift
        before = error[:, here] + shift
        proposed, chosen, loss = nearest_codes(target, scales, block, options.breadth, options.largest)
        better = loss < ((before @ block) * before).sum(dim=1) * (1 - 1e-9)
        if better.any():
            changed = True
            new = torch.where(better[:, None], proposed, codes[:, here])
            moved = (codes[:, here] - new) * scales[:, None]
            codes[:, here], index[:, pair] = new, torch.where(better, chosen, index[:, pair])
            error[:, here] += moved
            gradient += moved @ metric[here]
    return codes, index, changed
