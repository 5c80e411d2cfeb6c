"""Codes that the array works off in fewer cycles: recipes with a `cycle_weight` (docs/quantizer/recipes.md).

The array spends on a weight vector (one row, `columns` neighbouring columns: a window) what its largest
magnitude asks for. One weight of 3 among 64 of at most 1 triples the time. So the largest magnitude that a window may
use is chosen together with its codes: each row minimises

    mean over its windows of (normalised squared error + cycle_weight * cycles)

For a given scale the minimum is exact. Within a window each pair takes its best index code for the magnitudes
allowed there. A pair that reaches over the border of two windows has one index code for both, so neighbours cannot
be decided apart: the best sequence of windows is found by dynamic programming over the row (Viterbi).

The arithmetic is that of `fineq.quantizer.arithmetic`, with losses as integers, so results do not depend on threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from fineq.format import CLUSTER_WEIGHTS, MAX_MAGNITUDE, MAX_NORMAL, PAIR_WEIGHTS
from fineq.format.temporal import array_cycles, input_order, vector_cycles
from fineq.quantizer.arithmetic import CLIPPED_GRID, SCALE_GRID_DENOMINATOR, in_units
from fineq.quantizer.pairs import choose_codes, kept_codes
from fineq.quantizer.recipes import Recipe

CYCLE_GRID = (*CLIPPED_GRID, *range(SCALE_GRID_DENOMINATOR + 1, SCALE_GRID_DENOMINATOR * 3 // 2 + 1))
"""Scales that the search tries: those that clip, and every step up to absmax / 2, at which no weight is 3."""


# -- what a window costs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Allowance:
    """The largest magnitude that a window may use, and the cycles that it then takes at most."""

    largest: int
    cycles: int


@cache
def allowances(encoding: str) -> tuple[Allowance, ...]:
    """What a window can choose from, cheapest first: for each number of cycles the largest magnitude."""
    by_cycles = {vector_cycles(magnitude, encoding): magnitude for magnitude in range(1, MAX_MAGNITUDE + 1)}
    return tuple(Allowance(magnitude, cycles) for cycles, magnitude in by_cycles.items())


def window_cycles(codes: np.ndarray, columns: int, encoding: str) -> np.ndarray:
    """Cycles of every weight vector of a matrix.

    Args:
        codes: integers -3..3, [N, K].
        columns: of the array; the last window is filled with zeros.

    Returns:
        int64 [N, vectors], as many as `row_vectors` says.
    """
    order = input_order(codes.shape[1], columns, encoding)
    return array_cycles(np.where(order < 0, 0, codes[:, order]), encoding)


def cycle_worth(recipe: Recipe, length: int) -> float:
    """What a cycle is worth, as a multiple of the energy of a row of `length` weights, in the units of losses."""
    power = 2 if recipe.loss == "squared" else 1
    return recipe.cycle_weight * recipe.columns / length * SCALE_GRID_DENOMINATOR**power


def scale_grid(recipe: Recipe) -> tuple[int, ...]:
    """The scales to try, in units of `SCALE_GRID_DENOMINATOR` a base; most preferred first."""
    grids = {"absmax": (SCALE_GRID_DENOMINATOR,), "mse": CYCLE_GRID, "mse-clipped": CLIPPED_GRID}
    return grids[recipe.scale]


# -- the choice ------------------------------------------------------------------------------------------------


class Windows:
    """The rows of a matrix, ready to be quantized at any scale.

    Args:
        clusters: float32 [2 clusters, 3 weights, rows, pairs], zero-padded.
        base: float32 [rows], absmax / 3.
        length: weights of a row before padding.
        recipe: with a `cycle_weight` above 0.
    """

    def __init__(self, clusters: Tensor, own: Tensor, lone: bool, base: Tensor, length: int, recipe: Recipe) -> None:
        self.clusters, self.recipe = clusters, recipe
        self.own, self.keeps = own[0], kept_codes(own, lone, recipe)
        self.allowances = allowances(recipe.encoding)
        self.measure = torch.square if recipe.loss == "squared" else torch.abs
        self.power = 2 if recipe.loss == "squared" else 1

        # Window of each weight, [2, 3, 1, pairs]; padding after the last window costs nothing anywhere.
        column = torch.arange(clusters.shape[3] * PAIR_WEIGHTS, device=clusters.device)
        window = (column // recipe.columns).clamp(max=-(-length // recipe.columns) - 1)
        self.window = window.reshape(-1, 2, CLUSTER_WEIGHTS).permute(1, 2, 0)[:, :, None]
        self.first, last = self.window[0, 0, 0], self.window[-1, -1, 0]
        self.count = int(last[-1]) + 1
        self.inner = (self.first == last).nonzero()[:, 0]
        self.shared = (self.first < last).nonzero()[:, 0]

        # What a cycle is worth, in the units of `losses`: a share of the row's mean energy of a window.
        energy = in_units(self.measure(clusters / base[:, None])).sum(dim=(0, 1, 3)).to(torch.float64)
        self.penalty = (energy * cycle_worth(recipe, length)).round().to(torch.int64)

    def best(self, scales: Tensor, numerators: Tensor) -> tuple[Tensor, Tensor]:
        """Cost of each row, int64 [rows], and the allowance of its windows that gives it, int64 [rows, windows].

        Args:
            scales: float32 [rows].
            numerators: int64 [rows]; scales in units of `SCALE_GRID_DENOMINATOR` a base: makes losses comparable.
        """
        weight = numerators**self.power
        sets = range(len(self.allowances))
        inner = torch.stack([self._window_losses(scales, chosen) for chosen in sets]) * weight[:, None]
        inner += torch.stack([self.penalty * allowance.cycles for allowance in self.allowances])[:, :, None]
        shared = torch.zeros((len(sets), *inner.shape), dtype=torch.int64, device=inner.device)
        if len(self.shared):
            borders = self.first[self.shared]
            for left in sets:
                for right in sets:
                    losses = self._pair_codes(scales, self.shared, left, right)[2]
                    shared[left, right][:, borders] = in_units(losses) * weight[:, None]
        cost, came_from = inner[:, :, 0], []
        for window in range(1, self.count):
            cost, before = (cost[:, None] + shared[..., window - 1]).min(dim=0)
            came_from.append(before)
            cost = cost + inner[:, :, window]
        cost, state = cost.min(dim=0)
        states = [state]
        for before in reversed(came_from):
            states.append(before.gather(0, states[-1][None])[0])
        return cost, torch.stack(states[::-1], dim=1)

    def codes(self, scales: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """Values float32 [2, 3, rows, pairs] and index codes [rows, pairs] under the chosen allowances."""
        pairs = self.clusters.shape[3]
        values = torch.zeros_like(self.clusters)
        index = torch.zeros_like(self.own)
        everywhere = torch.arange(pairs, device=states.device)
        left = states[:, self.first]
        right = states[:, self.window[-1, -1, 0]]
        for a in range(len(self.allowances)):
            for b in range(len(self.allowances)):
                here = (left == a) & (right == b)
                if here.any():
                    found, code, _ = self._pair_codes(scales, everywhere, a, b)
                    values, index = torch.where(here, found, values), torch.where(here, code, index)
        return values, index

    def _window_losses(self, scales: Tensor, chosen: int) -> Tensor:
        """Loss of the pairs inside each window, int64 [rows, windows], not yet weighted."""
        losses = in_units(self._pair_codes(scales, self.inner, chosen, chosen)[2])
        totals = torch.zeros((len(scales), self.count), dtype=torch.int64, device=losses.device)
        return totals.index_add_(1, self.first[self.inner], losses)

    def _pair_codes(self, scales: Tensor, pairs: Tensor, left: int, right: int) -> tuple[Tensor, Tensor, Tensor]:
        """Values, index code and loss of some pairs, whose windows have the allowances `left` and `right`."""
        x = self.clusters[..., pairs] / scales[:, None]
        in_left = self.window[..., pairs] == self.first[pairs]
        largest = torch.where(in_left, self.allowances[left].largest, self.allowances[right].largest).to(x.dtype)
        outlier = x.round().clamp(-largest, largest)
        normal = outlier.clamp(-MAX_NORMAL, MAX_NORMAL)
        index, loss = choose_codes(
            self.measure(x),
            self.measure(x - normal),
            self.measure(x - outlier),
            self.own[:, pairs],
            self.keeps[:, pairs],
        )
        values = torch.where(index == 0, normal, outlier)
        position = torch.arange(1, CLUSTER_WEIGHTS + 1, device=x.device)[:, None, None]
        return torch.where(index == position, torch.zeros_like(values), values), index, loss


def cycle_aware_codes(
    clusters: Tensor, own: Tensor, lone: bool, base: Tensor, length: int, recipe: Recipe
) -> tuple[Tensor, Tensor, Tensor]:
    """Values [2, 3, rows, pairs], index codes [rows, pairs] and scales [rows] of the least error and cycles together.

    Scales: `absmax` keeps the base; `mse` tries `CYCLE_GRID`, `mse-clipped` the part of it up to the base.
    """
    windows = Windows(clusters, own, lone, base, length, recipe)
    chosen: tuple[Tensor, Tensor, Tensor] | None = None
    for numerator in scale_grid(recipe):
        scales = base * torch.full_like(base, numerator / SCALE_GRID_DENOMINATOR)
        cost, found = windows.best(scales, torch.full_like(base, numerator, dtype=torch.int64))
        if chosen is None:
            chosen = scales, cost, found
        else:
            best, least, states = chosen
            is_less = cost < least
            best, least = torch.where(is_less, scales, best), torch.minimum(cost, least)
            chosen = best, least, torch.where(is_less[:, None], found, states)
    assert chosen is not None  # a grid has one scale at least
    best, _, states = chosen
    return (*windows.codes(best, states), best)
