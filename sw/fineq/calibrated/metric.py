"""What the solver takes from a layer's inputs, made once for all layers that share them.

From the damped H, its columns in the order in which they are fixed, comes one factorisation H = U U^T with U upper
triangular. U^-1 is the factor that error feedback needs: of the columns that are left when the earlier ones are
fixed, the metric of the first pair alone, all others free to compensate, is the pair's own corner of U times its
transpose; the others then move by the errors times that corner times the pair's rows of U^-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.calibrated.options import SolverOptions
from fineq.calibrated.pairs import carried_errors, from_factor
from fineq.format import PAIR_WEIGHTS, pairs_per_row


@dataclass(frozen=True, eq=False)
class Metric:
    """A layer's inputs as the solver sees them; K counts whole pairs, in the order of work.

    Attributes:
        inputs: columns of the weight, without padding.
        order: which column stands where, int64 [K].
        matrix: damped H over its mean diagonal, float64 [K, K].
        spread: by what an error of column j moves column k, float64 [K, K]; zero within a pair and before it.
            None: no error feedback.
        feedback_carry, feedback_power: of the pairs when all later columns are free, [pairs, 6, 6] and [pairs, 6].
        inverse, carry, power: of the pairs when all other columns are fixed.
    """

    inputs: int
    order: Tensor
    matrix: Tensor
    spread: Tensor | None
    feedback_carry: Tensor | None
    feedback_power: Tensor | None
    inverse: Tensor
    carry: Tensor
    power: Tensor


def prepare(columns: int, hessian: Tensor | None, options: SolverOptions, device: torch.device | None = None) -> Metric:
    """The metric of a layer with `columns` inputs.

    Args:
        hessian: mean of x^T x over the calibration tokens, [columns, columns]; None: the identity.
    """
    matrix, order = _damped(columns, hessian, options, device)
    spread = feedback_carry = feedback_power = None
    if options.hessian == "full":
        upper = torch.linalg.cholesky(matrix.flip(0, 1)).flip(0, 1)
        corners = _corners(upper)
        feedback_carry, feedback_power = (part.contiguous() for part in from_factor(corners))
        spread = torch.linalg.solve_triangular(
            upper, torch.eye(len(upper), dtype=upper.dtype, device=device), upper=True
        )
        del upper
        spread = torch.bmm(corners, spread.view(len(corners), PAIR_WEIGHTS, -1)).view_as(matrix)
        _diagonal_blocks(spread).zero_()
    blocks = _corners(matrix)
    carry, power = carried_errors(blocks)
    inverse = torch.linalg.inv(blocks)
    return Metric(
        columns,
        order,
        matrix,
        spread,
        feedback_carry,
        feedback_power,
        *(part.contiguous() for part in (inverse, carry, power)),
    )


def _corners(matrix: Tensor) -> Tensor:
    """The pairs' own blocks on the diagonal, [pairs, 6, 6]."""
    return _diagonal_blocks(matrix).permute(2, 0, 1).contiguous()


def _diagonal_blocks(matrix: Tensor) -> Tensor:
    """The same as a view, [6, 6, pairs]."""
    pairs = len(matrix) // PAIR_WEIGHTS
    return matrix.view(pairs, PAIR_WEIGHTS, pairs, PAIR_WEIGHTS).diagonal(dim1=0, dim2=2)


def _damped(columns: int, hessian: Tensor | None, options: SolverOptions, device) -> tuple[Tensor, Tensor]:
    """The damped H over whole pairs in processing order, and that order of the columns."""
    size = pairs_per_row(columns) * PAIR_WEIGHTS
    metric = torch.eye(size, dtype=torch.float64, device=device)
    if hessian is not None and options.hessian != "identity":
        hessian = hessian.to(device, torch.float64)
        mean = hessian.diagonal().mean()
        if mean > 0:
            inside = metric[:columns, :columns]
            torch.add(hessian / mean, inside, alpha=options.damping, out=inside)
        if options.hessian == "diagonal":
            metric = metric.diagonal().diag()
    weights = metric.diagonal().clone()
    weights[columns:] = 0
    pairs = weights.view(-1, PAIR_WEIGHTS).sum(dim=1)
    first = pairs.argsort(descending=True, stable=True) if options.ordered else torch.arange(len(pairs), device=device)
    order = (first[:, None] * PAIR_WEIGHTS + torch.arange(PAIR_WEIGHTS, device=device)).flatten()
    return metric[order][:, order].contiguous(), order
