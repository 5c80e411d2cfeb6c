"""GPTQ (Frantar et al., arXiv 2210.17323): round-to-nearest with error feedback through the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.baselines.grid import GROUP_SCALE_BITS, ROW_SCALE_BITS, Grid, check_bits, min_max_grid, searched_grid
from fineq.baselines.hessian import feed_back, inverse_factor, prepare
from fineq.common.errors import FineqError

INDEX_BITS = 16
"""Number of the group that a column belongs to, where groups are no neighbours."""


@dataclass(frozen=True)
class Gptq:
    """Columns are rounded one by one on RTN's grid; the later columns make up for each error.

    Attributes:
        bits: of a weight.
        group: columns that share a grid; None: the whole row, as in the paper. A group's grid is made when its
            first column is reached, from the weights as moved by then. A row no longer than a group is one group.
        act_order: columns with the largest inputs first.
        static_groups: with `act_order`, groups are neighbours in memory, and their grids are made from the original
            weights. Otherwise groups are neighbours in the order of work, which costs the number of its group for
            each column.
        search: grids shrunk to the least squared error, weighted by the mean square of each input, instead of
            minimum to maximum.
    """

    bits: int = 2
    group: int | None = None
    act_order: bool = False
    search: bool = False
    static_groups: bool = True

    def __post_init__(self) -> None:
        check_bits(self.bits, 1, 8)
        if self.group is not None and self.group < 1:
            raise FineqError(f"group is {self.group}: it must be at least 1 column")

    @property
    def title(self) -> str:
        parts = [f"GPTQ, {self.bits} bits", f"g{self.group}" if self.group else "per row"]
        parts += ["act-order"] * self.act_order + ["searched grid"] * self.search
        parts += ["groups in that order"] * self._has_moved_groups
        return ", ".join(parts)

    @property
    def nominal_bits(self) -> float:
        return float(self.bits)

    @property
    def _has_moved_groups(self) -> bool:
        """Whether a group's columns lie apart in memory."""
        return self.group is not None and self.act_order and not self.static_groups

    def quantize(self, weight: Tensor, hessian: Tensor | None, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and bits per weight with scales, zero points and numbers of groups.

        A row's scale counts 32 bits and a group's 16, a zero point as many as a weight.
        """
        rows, columns = weight.shape if weight.ndim == 2 else (1, 1)
        weight, hessian = prepare(weight, hessian, name)
        order = torch.arange(columns)
        if self.act_order:
            order = hessian.diagonal().argsort(descending=True, stable=True)
        factor = inverse_factor(hessian[order][:, order])
        if self.group is None or (self.act_order and self.static_groups):
            span = self.group or columns
            grids = [self._grid(part, importance) for part, importance in
                     zip(weight.split(span, dim=1), hessian.diagonal().split(span), strict=True)]  # fmt: skip
            result = feed_back(
                weight[:, order], factor, lambda column, number: grids[order[number] // span].nearest(column)
            )
        else:
            grids, group, importance = [], self.group, hessian.diagonal()[order]

            def new_grid(part: Tensor) -> None:
                start = len(grids) * group
                grids.append(self._grid(part, importance[start : start + part.shape[1]]))

            result = feed_back(
                weight[:, order], factor, lambda column, _: grids[-1].nearest(column), block=group, enter_block=new_grid
            )
        scale_bits = GROUP_SCALE_BITS if self.group else ROW_SCALE_BITS
        bits = self.bits + len(grids) * (scale_bits + self.bits) / columns
        bits += INDEX_BITS / rows if self._has_moved_groups else 0
        return result[:, order.argsort()].to(torch.float32), bits

    def _grid(self, weight: Tensor, importance: Tensor) -> Grid:
        scale_bits = GROUP_SCALE_BITS if self.group else ROW_SCALE_BITS
        if self.search:
            return searched_grid(weight, self.bits, scale_bits, importance)
        return min_max_grid(weight, self.bits, scale_bits)
