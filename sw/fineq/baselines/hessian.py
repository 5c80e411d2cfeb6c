"""What the calibrated baselines share: error feedback column by column, and the walk through a model.

With X a layer's inputs and H = X^T X / tokens, rounding a column by e costs e^2 / [H^-1]_jj once all later columns
have moved to where they compensate best; that move is -e [H^-1]_j,later / [H^-1]_jj. The Cholesky factor U of
H^-1 = U^T U holds both for every step: U_jj^2 and U_j,later / U_jj (GPTQ, arXiv 2210.17323).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated.capture import BlockRunner, choose_windows, cut_windows, evaluating
from fineq.calibrated.moments import collect_moments
from fineq.calibrated.staged import StagedBlock
from fineq.common.progress import Progress
from fineq.models.language_model import LayerReport, get_weight, layer_report, set_weight
from fineq.quantizer.checks import check_finite, check_matrix

DAMPING = 0.01
"""Added to the diagonal of H, times its mean, as in all three methods."""

BLOCK_COLUMNS = 128
"""Columns of a block in `feed_back`; unless groups are as long, no influence on the result."""


class CalibratedBaseline(Protocol):
    """A baseline that looks at a layer's inputs."""

    @property
    def title(self) -> str:
        """What reports call it."""

    @property
    def nominal_bits(self) -> float:
        """The paper's 'Avg. Bits': scales and padding not counted."""

    def quantize(self, weight: Tensor, hessian: Tensor | None, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight in float32 and true bits per weight, for float [out, in] and H [in, in] or None."""


def prepare(weight: Tensor, hessian: Tensor | None, name: str) -> tuple[Tensor, Tensor]:
    """Checked weight and damped H, both float64; H is the identity when it is None or zero."""
    check_matrix(weight, name)
    check_finite(weight, name)
    columns = weight.shape[1]
    identity = torch.eye(columns, dtype=torch.float64)
    if hessian is None or not hessian.diagonal().mean() > 0:
        return weight.to(torch.float64), identity
    hessian = hessian.to("cpu", torch.float64)
    return weight.to(torch.float64), hessian + DAMPING * hessian.diagonal().mean() * identity


def inverse_factor(hessian: Tensor) -> Tensor:
    """Upper triangular U with U^T U = H^-1."""
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(hessian)), upper=True)


def feed_back(
    weight: Tensor,
    factor: Tensor,
    nearest: Callable[[Tensor, int], Tensor],
    columns: int | None = None,
    block: int = BLOCK_COLUMNS,
    enter_block: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Round columns from left to right; after each, the later ones make up for its error.

    Args:
        weight: float64 [rows, columns].
        factor: see `inverse_factor`.
        nearest: called with a column [rows, 1] and its number; returns what it is rounded to.
        columns: only the first so many are rounded; the others still move. None: all.
        block: columns whose moves of the columns behind the block are made in one product; only `enter_block`
            gives it influence on the result.
        enter_block: called with the columns of each block as they are before the first of them is rounded.
    """
    weight = weight.clone()
    columns = weight.shape[1] if columns is None else columns
    for start in range(0, columns, block):
        end = min(start + block, columns)
        if enter_block:
            enter_block(weight[:, start:end])
        errors = torch.empty(len(weight), end - start, dtype=weight.dtype)
        for column in range(start, end):
            here = slice(column, column + 1)
            rounded = nearest(weight[:, here], column)
            error = (weight[:, here] - rounded) / factor[column, column]
            weight[:, here] = rounded
            weight[:, column + 1 : end] -= error * factor[column, column + 1 : end]
            errors[:, column - start] = error[:, 0]
        weight[:, end:] -= errors @ factor[start:end, end:]
    return weight


def hessian_error(weight: Tensor, quantized: Tensor, hessian: Tensor) -> float:
    """Squared change of the layer's outputs, mean over tokens, sum over rows: trace(E H E^T)."""
    error = weight.to(torch.float64) - quantized.to(torch.float64)
    return ((error @ hessian.to(torch.float64)) * error).sum().item()


def quantize_model(
    model: PreTrainedModel,
    token_ids: Tensor,
    baseline: CalibratedBaseline,
    progress: Progress | None = None,
    windows: int | None = None,
) -> list[LayerReport]:
    """Quantize the block linears in place, one block after the other, layers with one input together.

    Inputs come through the layers quantized before, as in the methods' own code ('true sequential').

    Args:
        token_ids: int64 [tokens], the calibration text without special tokens; or windows, [windows, length].
        windows: that are looked at, spread evenly over the text; None: as many as FineQ's solver, 128, GPTQ's number.
    """
    reports: list[LayerReport] = []
    with evaluating(model), torch.no_grad():
        runner, hidden = BlockRunner.start(model, choose_windows(cut_windows(model, token_ids), windows))
        total = sum(len(runner.linears(number)) for number in range(len(runner.blocks)))
        for number in range(len(runner.blocks)):
            staged = StagedBlock(runner, number)
            for group in runner.groups(number, hidden):
                hessians, _ = collect_moments(staged, group, hidden, None)
                for name in group:
                    weight = get_weight(model, name).to(torch.float32, copy=True)
                    dequantized, bits = baseline.quantize(weight, hessians[name], name)
                    set_weight(model, name, dequantized)
                    reports.append(layer_report(name, weight, dequantized, bits))
                    if progress:
                        progress("layers", len(reports), total)
                staged.mark_done(group)
            hidden = staged.finish(hidden)
    return reports
