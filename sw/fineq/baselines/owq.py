"""OWQ (Lee et al., arXiv 2306.02272): sensitive columns in FP16, GPTQ per group for the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.baselines.grid import GROUP_SCALE_BITS, Grid, check_bits, searched_grid
from fineq.baselines.hessian import feed_back, inverse_factor, prepare
from fineq.common.errors import FineqError

FLOAT_BITS = 16
INDEX_BITS = 16
"""Number of a column that is kept in FP16, or of the group of a column."""


@dataclass(frozen=True)
class Owq:
    """The columns with the largest H_jj * |error of column j|^2 stay in FP16 and absorb errors of the others.

    The error is that of rounding to the searched grid of the row. The other columns are rounded by GPTQ in groups
    on searched grids, in order; the FP16 columns come last, so that they move for all of them.

    Attributes:
        bits: of a weight in the rounded columns.
        group: rounded columns that share a grid. On a layer that is no wider, the group is the row.
        extra_bits: what the FP16 columns may cost per weight. The paper's 2.25 bits leave 0.25 beyond the codes.
            All of that goes to FP16 columns here: scales are not counted in the nominal bits of any method, and
            FP16 columns gain more than any other use of the budget. At least one column is kept.
        act_order: the rounded columns with the largest inputs first. Groups are neighbours in that order, which costs
            the number of its group for each column.
    """

    bits: int = 2
    group: int = 128
    extra_bits: float = 0.25
    act_order: bool = False

    def __post_init__(self) -> None:
        check_bits(self.bits, 1, 8)
        if self.group < 1:
            raise FineqError(f"group is {self.group}: it must be at least 1 column")
        if not 0 <= self.extra_bits <= FLOAT_BITS - self.bits:
            raise FineqError(f"extra_bits is {self.extra_bits}: it must lie between 0 and {FLOAT_BITS - self.bits}")

    @property
    def title(self) -> str:
        return f"OWQ, {self.nominal_bits:g} bits, g{self.group}" + ", act-order" * self.act_order

    @property
    def nominal_bits(self) -> float:
        return self.bits + self.extra_bits

    def kept_columns(self, columns: int) -> int:
        """How many columns of a layer stay in FP16."""
        if self.extra_bits == 0 or columns == 1:
            return 0
        return max(1, int(columns * self.extra_bits / (FLOAT_BITS - self.bits)))

    def quantize(self, weight: Tensor, hessian: Tensor | None, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and bits per weight with column numbers, scales and zero points."""
        rows, columns = weight.shape if weight.ndim == 2 else (1, 1)
        weight, hessian = prepare(weight, hessian, name)
        importance = hessian.diagonal()
        error = weight - searched_grid(weight, self.bits, importance=importance).nearest(weight)
        sensitivity = importance * error.square().sum(dim=0)
        kept = self.kept_columns(columns)
        sensitive = sensitivity.argsort(descending=True, stable=True)[:kept]
        is_rounded = torch.ones(columns, dtype=torch.bool)
        is_rounded[sensitive] = False
        rounded = importance.argsort(descending=True, stable=True) if self.act_order else torch.arange(columns)
        order = torch.cat([rounded[is_rounded[rounded]], sensitive])
        importance = importance[order]
        grids: list[Grid] = []

        def new_grid(part: Tensor) -> None:
            start = len(grids) * self.group
            grids.append(searched_grid(part, self.bits, GROUP_SCALE_BITS, importance[start : start + part.shape[1]]))

        result = feed_back(
            weight[:, order],
            inverse_factor(hessian[order][:, order]),
            lambda column, _: grids[-1].nearest(column),
            columns=columns - kept,
            block=self.group,
            enter_block=new_grid,
        )
        result[:, columns - kept :] = result[:, columns - kept :].to(torch.float16).to(torch.float64)
        codes = self.bits * (columns - kept) + FLOAT_BITS * kept
        groups = len(grids) * (GROUP_SCALE_BITS + self.bits)
        numbers = INDEX_BITS * (kept + (columns - kept) * self.act_order) / rows
        return result[:, order.argsort()].to(torch.float32), (codes + groups + numbers) / columns
