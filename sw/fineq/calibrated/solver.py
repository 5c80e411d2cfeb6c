"""One linear layer: scales and codes with the least error in its outputs.

With X the layer's calibration inputs and H = X^T X / tokens, a row's error e (weights minus quantized weights)
changes the outputs by e H e^T on average. H as the identity is the plain squared error; its diagonal alone
weights each input channel with its mean square; the full matrix also lets later weights make up for the errors
of earlier ones. The steps, each a switch:

1. scale search on the diagonal of H, as recipe `mse-clipped` does with equal weights;
2. error feedback in steps of a pair: the pair's codes are chosen in the metric that remains when all later
   columns are free to compensate, then the later columns are moved to their optimum (GPTQ, arXiv 2210.17323,
   with the pair of clusters in the place of the single column), for several scales per row, best one kept;
3. sweeps over the pairs that change one pair at a time, all others fixed, and put the scale at its optimum for
   the codes; each accepted change lowers the error.

The native kernel does it for the full H; `fineq.calibrated.reference` does everything, with the same result.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fineq import kernels
from fineq.calibrated.metric import Metric, prepare
from fineq.calibrated.options import SolverOptions
from fineq.calibrated.reference import IMPROVEMENT, solve_rows
from fineq.format import PAIR_WEIGHTS
from fineq.quantizer.arithmetic import CLIPPED_GRID, SCALE_GRID_DENOMINATOR, SMALLEST_SCALE
from fineq.quantizer.packed import PackedWeight

CHUNK_WEIGHTS = 1 << 22
"""Weights that are brought into the solver's form at once: bounds the memory of a large layer."""


def solve(
    weight: Tensor, hessian: Tensor | Metric | None, options: SolverOptions, recipe: str = "custom"
) -> PackedWeight:
    """Quantize one matrix.

    Args:
        weight: floating point [rows, K].
        hessian: mean of x^T x over the calibration tokens, [K, K]; None: the identity. Or what `prepare` made of it,
            once for several layers.
        options: see there.
        recipe: name that the result carries.
    """
    columns = weight.shape[1]
    metric = hessian if isinstance(hessian, Metric) else prepare(columns, hessian, options, weight.device)
    parts = []
    for rows in weight.detach().split(rows_at_once(columns)):
        padded = torch.nn.functional.pad(rows.to(torch.float64), (0, -columns % PAIR_WEIGHTS))[:, metric.order]
        found = solve_natively(padded, metric, options)
        parts.append(solve_rows(padded, metric, options) if found is None else found)
    codes, index, scales = (torch.cat(part) for part in zip(*parts, strict=True))
    codes = codes[:, metric.order.argsort()][:, :columns]
    index = index[:, metric.order[::PAIR_WEIGHTS].div(PAIR_WEIGHTS, rounding_mode="floor").argsort()]
    return PackedWeight.from_codes(codes, scales, index, recipe=recipe)


def rows_at_once(columns: int) -> int:
    """Rows of a layer that are solved at once; each row by itself, so that others may solve other pieces."""
    return max(1, CHUNK_WEIGHTS // columns)


def solve_natively(rows: Tensor, metric: Metric, options: SolverOptions) -> tuple[Tensor, Tensor, Tensor] | None:
    """As `solve_rows`, in the kernel; None if it cannot do it."""
    if metric.spread is None or metric.feedback_carry is None or metric.feedback_power is None or options.breadth != 1:
        return None
    return kernels.solve_rows(
        rows,
        kernels.PairMetric(
            metric.matrix,
            metric.spread,
            metric.feedback_carry,
            metric.feedback_power,
            metric.inverse,
            metric.carry,
            metric.power,
        ),
        kernels.SolverNumbers(
            factors=options.feedback_scales,
            grid=[numerator / SCALE_GRID_DENOMINATOR for numerator in CLIPPED_GRID],
            sweeps=options.sweeps,
            largest=options.largest,
            smallest_scale=SMALLEST_SCALE,
            improvement=IMPROVEMENT,
        ),
    )


def output_error(weight: Tensor, quantized: Tensor, hessian: Tensor) -> Tensor:
    """Mean squared change of each output over the calibration tokens, e H e^T: float64 [rows]."""
    error = weight.to(torch.float64) - quantized.to(torch.float64)
    return ((error @ hessian.to(torch.float64)) * error).sum(dim=1)
