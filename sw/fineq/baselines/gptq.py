"""GPTQ (Frantar et al., arXiv 2210.17323): round-to-nearest with error feedback through the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.baselines.grid import GROUP_SCALE_BITS, ROW_SCALE_BITS, Grid, check_bits, min_max_grid, searched_grid
from fineq.baselines.hessian import feed_back, inverse_factor, prepare
from fineq.common.errors import FineqError


@dataclass(frozen=True)
class Gptq:
    """Columns are rounded one by one on RTN's grid; the later columns make up for each error.

    Attributes:
        bits: of a weight.
        group: columns that share a grid; None: the whole row, as in the paper. A group's grid is made when its
            first column is reached, from the weights as moved by then. A row no longer than a group is one group.
        act_order: columns with the largest inputs first. Groups stay neighbours in memory; their grids are then
            made from the original weights ('static groups').
        search: grids shrunk to the least squared error, weighted by the mean square of each input, instead of
            minimum to maximum.
    """

    bits: int = 2
    group: int | None = None
    act_order: bool = False
    search: bool = False

    def __post_init__(self) -> None:
        check_bits(self.bits, 1, 8)
        if self.group is not None and self.group < 1:
            raise FineqError(f"group is {self.group}: it must be at least 1 column")

    @property
    def title(self) -> str:
        parts = [f"GPTQ, {self.bits} bits", f"g{self.group}" if self.group else "per row"]
        parts += ["act-order"] * self.act_order + ["searched grid"] * self.search
        return ", ".join(parts)

    @property
    def nominal_bits(self) -> float:
        return float(self.bits)

    def quantize(self, weight: Tensor, hessian: Tensor | None, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and bits per weight with scales and zero points.

        A row's scale counts 32 bits and a group's 16, a zero point as many as a weight.
        """
        columns = weight.shape[-1]
        weight, hessian = prepare(weight, hessian, name)
        order = torch.arange(columns)
        if self.act_order:
            order = hessian.diagonal().argsort(descending=True, stable=True)
        factor = inverse_factor(hessian[order][:, order])
        if self.act_order or self.group is None:
            span = self.group or columns
            grids = [self._grid(part, importance) for part, importance in
                     zip(weight.split(span, dim=1), hessian.diagonal().split(span), strict=True)]  # fmt: skip
            result = feed_back(
                weight[:, order], factor, lambda column, number: grids[order[number] // span].nearest(column)
            )
        else:
            grids, group = [], self.group

            def new_grid(part: Tensor) -> None:
                start = len(grids) * group
                grids.append(self._grid(part, hessian.diagonal()[start : start + part.shape[1]]))

            result = feed_back(
                weight, factor, lambda column, _: grids[-1].nearest(column), block=self.group, enter_block=new_grid
            )
        scale_bits = GROUP_SCALE_BITS if self.group else ROW_SCALE_BITS
        bits = self.bits + len(grids) * (scale_bits + self.bits) / columns
        return result[:, order.argsort()].to(torch.float32), bits

    def _grid(self, weight: Tensor, importance: Tensor) -> Grid:
        scale_bits = GROUP_SCALE_BITS if self.group else ROW_SCALE_BITS
        if self.search:
            return searched_grid(weight, self.bits, scale_bits, importance)
        return min_max_grid(weight, self.bits, scale_bits)
