"""PB-LLM (Shang et al., arXiv 2310.00034), post-training: most weights binary, the salient ones in 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.baselines.grid import ROW_SCALE_BITS, min_max_grid
from fineq.baselines.hessian import feed_back, inverse_factor, prepare
from fineq.common.errors import FineqError

SALIENT_BITS = 8
BITMAP_BITS = 1
"""A weight's mark whether it is salient."""


@dataclass(frozen=True)
class PbLlm:
    """A share of the weights of a layer is kept in 8 bits, the others become mean +- alpha of their row.

    mean and alpha = mean |w - mean| are taken over the row's binary weights before error feedback; the salient
    weights use an 8-bit grid over the row. Columns are rounded one by one with GPTQ's error feedback.

    Attributes:
        salient: share of salient weights, of the whole layer.
        criterion: `hessian`: w^2 / [H^-1]_jj, the loss of removing the weight; `magnitude`: |w|.
        act_order: columns with the largest inputs first.
    """

    salient: float = 0.1
    criterion: str = "hessian"
    act_order: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.salient <= 1:
            raise FineqError(f"salient is {self.salient}: it must be a share between 0 and 1")
        if self.criterion not in ("hessian", "magnitude"):
            raise FineqError(f"criterion is {self.criterion!r}: choose one of hessian, magnitude")

    @property
    def title(self) -> str:
        return f"PB-LLM, {100 * self.salient:g}% salient by {self.criterion}" + ", act-order" * self.act_order

    @property
    def nominal_bits(self) -> float:
        """Codes and the bitmap: at 10% 0.9 * 1 + 0.1 * 8 + 1 = 2.7, the paper's figure."""
        return (1 - self.salient) + self.salient * SALIENT_BITS + BITMAP_BITS

    def quantize(self, weight: Tensor, hessian: Tensor | None, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and bits per weight with bitmap, scales, means and zero points."""
        weight, hessian = prepare(weight, hessian, name)
        order = torch.arange(weight.shape[1])
        if self.act_order:
            order = hessian.diagonal().argsort(descending=True, stable=True)
            weight, hessian = weight[:, order], hessian[order][:, order]
        factor = inverse_factor(hessian)
        saliency = weight.square() / factor.square().sum(dim=0) if self.criterion == "hessian" else weight.abs()
        kept = round(self.salient * weight.numel())
        is_salient = torch.zeros(weight.numel(), dtype=torch.bool)
        is_salient[saliency.flatten().argsort(descending=True, stable=True)[:kept]] = True
        is_salient = is_salient.view_as(weight)
        count = (~is_salient).sum(dim=1, keepdim=True).clamp(min=1)
        mean = _stored(torch.where(is_salient, 0, weight).sum(dim=1, keepdim=True) / count)
        alpha = _stored(torch.where(is_salient, 0, (weight - mean).abs()).sum(dim=1, keepdim=True) / count)
        grid = min_max_grid(weight, SALIENT_BITS)

        def nearest(column: Tensor, number: int) -> Tensor:
            binary = torch.where(column < mean, mean - alpha, mean + alpha)
            return torch.where(is_salient[:, number : number + 1], grid.nearest(column), binary)

        share = kept / weight.numel()
        per_row = 3 * ROW_SCALE_BITS + SALIENT_BITS
        bits = (1 - share) + share * SALIENT_BITS + BITMAP_BITS + per_row / weight.shape[1]
        return feed_back(weight, factor, nearest)[:, order.argsort()].to(torch.float32), bits


def _stored(value: Tensor) -> Tensor:
    """As float32 keeps it."""
    return value.to(torch.float32).to(torch.float64)
