"""An experiment on accuracy alone: FineQ with clusters of 2 to 6 weights. Format and hardware know only 3.

A cluster of c weights has 2c bits: c values of 2 bits, or floor(2c/3) values of 3 bits with the others zero. Its
code says which: 1 + C(c, floor(2c/3)) codes, shared by the two clusters of a pair. Everything else is recipe
`paper` or `mse`, and with c = 3 the result is the quantizer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import ceil, comb, log2

import torch
from torch import Tensor

from fineq.common.errors import FineqError
from fineq.format import MAX_MAGNITUDE, MAX_NORMAL
from fineq.quantizer.arithmetic import SCALE_GRID, SMALLEST_SCALE, grid_scales
from fineq.quantizer.checks import float_matrix

SCALE_BITS = 32


@dataclass(frozen=True)
class ClusterSize:
    """Attributes: size: weights of a cluster; search: recipe `mse` (True) or `paper`; threshold: see `Recipe`."""

    size: int = 3
    search: bool = False
    threshold: float = 4.0

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 6:
            raise FineqError(f"cluster size is {self.size}: it must lie between 2 and 6")

    @property
    def kept(self) -> int:
        """Values of 3 bits in a cluster with outliers."""
        return 2 * self.size // 3

    @property
    def bits(self) -> float:
        """Bits per weight: payload, and the code shared by two clusters."""
        return 2 + ceil(log2(1 + comb(self.size, self.kept))) / (2 * self.size)

    @property
    def recipe(self) -> str:
        """Name of the recipe that it follows."""
        return "mse" if self.search else "paper"

    @property
    def title(self) -> str:
        return f"clusters of {self.size}, {self.kept} kept, recipe {self.recipe}"

    def limits(self) -> Tensor:
        """Largest magnitude of each weight of a cluster under each code, float32 [codes, size]."""
        rows = [[MAX_NORMAL] * self.size]
        for zeros in combinations(range(self.size), self.size - self.kept):
            rows.append([0 if place in zeros else MAX_MAGNITUDE for place in range(self.size)])
        return torch.tensor(rows, dtype=torch.float32)

    def __call__(self, weight: Tensor, name: str = "weight") -> tuple[Tensor, float]:
        """Dequantized weight, float32 [out, in], and bits per weight with scales and padding to whole pairs."""
        weight = float_matrix(weight, name)
        rows, columns = weight.shape
        pairs = torch.nn.functional.pad(weight, (0, -columns % (2 * self.size))).view(rows, -1, 2, self.size)
        absmax = weight.abs().amax(dim=1)
        absmax = torch.where(absmax / MAX_MAGNITUDE < SMALLEST_SCALE, 1.0, absmax)
        base = absmax / MAX_MAGNITUDE
        if not self.search:
            values, _ = self._round(pairs, base)
        else:
            values, least = torch.zeros_like(pairs), torch.full((rows,), torch.inf)
            for numerator in SCALE_GRID:
                tried, loss = self._round(pairs, grid_scales(absmax, base, numerator))
                values = torch.where((loss < least)[:, None, None, None], tried, values)
                least = torch.minimum(loss, least)
        padded = pairs.shape[1] * 2 * self.size
        return values.reshape(rows, -1)[:, :columns], (self.bits * padded + SCALE_BITS) / columns

    def _round(self, pairs: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Dequantized pairs and the squared error of each row; float32 [rows, pairs, 2, size] and [rows]."""
        scale = scale[:, None, None, None]
        x = pairs / scale
        limits = self.limits()
        candidates = [x.round().clamp(-limit, limit) for limit in limits]
        losses = torch.stack([(x - each).square().sum(dim=-1) for each in candidates])  # [codes, rows, pairs, 2]
        code = losses.sum(dim=-1).argmin(dim=0)
        if not self.search:
            own = self._own_codes(pairs.abs(), limits)
            code = torch.where(own[..., 0] == own[..., 1], own[..., 0], code)
        limit = limits[code][:, :, None, :]
        values = x.round().clamp(-limit, limit) * scale
        return values, (pairs - values).square().sum(dim=(1, 2, 3))

    def _own_codes(self, magnitudes: Tensor, limits: Tensor) -> Tensor:
        """The code that each cluster chooses alone by the threshold: [rows, pairs, 2]."""
        has_outliers = magnitudes.amax(dim=-1) > self.threshold * magnitudes.amin(dim=-1)
        smallest = magnitudes.argsort(dim=-1, stable=True)[..., : self.size - self.kept]
        is_kept = torch.ones_like(magnitudes).scatter(-1, smallest, 0.0)
        matches = (limits[1:] > 0) == (is_kept[..., None, :] > 0)
        return torch.where(has_outliers, 1 + matches.all(dim=-1).float().argmax(dim=-1), 0)
