"""Second moments of what layers see: H = mean of x^T x, and the cross moments with full-precision inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.calibrated.staged import StagedBlock

STRIPE_COLUMNS = 384
"""H is symmetric: it is summed in stripes of so many rows, from the diagonal on."""


def stripes(values: Tensor) -> Iterator[Tensor]:
    """The upper triangle of x^T x over the tokens of one batch: float32 [STRIPE_COLUMNS, in - first] from each first.

    Args:
        values: float32 [tokens, in].
    """
    columns = values.shape[1]
    for first in range(0, columns, STRIPE_COLUMNS):
        yield values[:, first : min(columns, first + STRIPE_COLUMNS)].T @ values[:, first:]


@dataclass(frozen=True)
class BatchMoments:
    """What one batch adds to the sums of a group; made anywhere, added up in the order of the batches.

    Attributes:
        columns: of the inputs of the layers.
        layers: tokens and stripes by name.
        crossed: x_exact^T x, float32 [in, in]; None: experts, or not wanted.
    """

    columns: int
    layers: dict[str, tuple[int, list[Tensor]]]
    crossed: Tensor | None


class Moments:
    """Sums over tokens for the layers of a group; those of one group share their inputs, except for experts.

    Attributes:
        tokens: that a layer saw, by name.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self.tokens: dict[str, int] = {}

    def add(self, name: str, values: Tensor) -> None:
        """Count the inputs [tokens, in] of a layer."""
        values = values.to(torch.float32)
        self.add_stripes(name, values.shape[1], len(values), stripes(values), values.device)

    def add_stripes(
        self, name: str, columns: int, tokens: int, parts: Iterable[Tensor], device: torch.device | None = None
    ) -> None:
        """The same with what `stripes` made of them."""
        if name not in self._sums:
            self._sums[name] = torch.zeros(columns, columns, dtype=torch.float64, device=device)
            self.tokens[name] = 0
        total = self._sums[name]
        for number, part in enumerate(parts):
            first = number * STRIPE_COLUMNS
            total[first : first + len(part), first:] += part
        self.tokens[name] += tokens

    def hessian(self, name: str) -> Tensor | None:
        """Mean of x^T x, float64 [in, in]; None for a layer that saw no token."""
        if not self.tokens.get(name):
            return None
        total = self._sums[name] / self.tokens[name]
        return total.triu() + total.triu(1).T


def collect_moments(
    staged: StagedBlock, group: list[str], hidden: Tensor, exact_inputs: list[Tensor] | None
) -> tuple[dict[str, Tensor | None], Tensor | None]:
    """H for each layer of a group, and the mean of x_exact^T x of all of it.

    Args:
        group: layers with the same input, or the experts of one stack.
        hidden: what enters the block, [windows, length, width].
        exact_inputs: what the group sees in the full-precision model, batch by batch, [tokens, in]; None: experts,
            which see other tokens there, or not wanted.
    """
    moments = Moments()
    crossed: list[Tensor] = []

    def take(batch: int, name: str, values: Tensor) -> None:
        moments.add(name, values)
        if exact_inputs is not None:
            product = (exact_inputs[batch].T @ values.to(torch.float32)).to(torch.float64)
            crossed[:] = [crossed[0] + product if crossed else product]

    watched = group if is_experts(group) else group[:1]
    staged.run(hidden, watched, take, to_end=is_experts(group))
    return _means(moments, group, crossed)


def batch_moments(staged: StagedBlock, group: list[str], hidden: Tensor, exact_input: Tensor | None) -> BatchMoments:
    """What one batch adds, see `collect_moments`.

    Args:
        staged: that has seen no other batch.
        hidden: what enters the block, windows of one batch.
        exact_input: what the group sees in the full-precision model.
    """
    found = BatchMoments(0, {}, None)

    def take(batch: int, name: str, values: Tensor) -> None:
        nonlocal found
        values = values.to(torch.float32)
        crossed = None if exact_input is None else exact_input.T @ values
        layer = (len(values), list(stripes(values)))
        found = BatchMoments(values.shape[1], found.layers | {name: layer}, crossed)

    watched = group if is_experts(group) else group[:1]
    staged.run(hidden, watched, take, to_end=is_experts(group))
    return found


def sum_moments(group: list[str], batches: Iterable[BatchMoments]) -> tuple[dict[str, Tensor | None], Tensor | None]:
    """As `collect_moments`, of what `batch_moments` made of each batch, in their order."""
    moments = Moments()
    crossed: list[Tensor] = []
    for batch in batches:
        for name, (tokens, parts) in batch.layers.items():
            moments.add_stripes(name, batch.columns, tokens, parts)
        if batch.crossed is not None:
            product = batch.crossed.to(torch.float64)
            crossed[:] = [crossed[0] + product if crossed else product]
    return _means(moments, group, crossed)


def _means(moments: Moments, group: list[str], crossed: list[Tensor]) -> tuple[dict[str, Tensor | None], Tensor | None]:
    watched = group if is_experts(group) else group[:1]
    hessians = {name: moments.hessian(name) for name in watched}
    if not is_experts(group):
        hessians = dict.fromkeys(group, hessians[group[0]])
    tokens = moments.tokens.get(group[0], 0)
    return hessians, crossed[0] / tokens if crossed else None


def exact_pass(staged: StagedBlock, groups: list[list[str]], hidden: Tensor) -> tuple[dict[str, list[Tensor]], Tensor]:
    """What the groups see in the full-precision block, float32 by first layer and batch, and what leaves the block."""
    inputs: dict[str, list[Tensor]] = {group[0]: [] for group in groups if not is_experts(group)}

    def take(batch: int, name: str, values: Tensor) -> None:
        inputs[name].append(values.to(torch.float32, copy=True))

    result = staged.run(hidden, list(inputs), take, to_end=True)
    assert result is not None
    return inputs, result


def is_experts(group: list[str]) -> bool:
    """Whether the layers are matrices of one stack, each with tokens of its own."""
    return any(name.rpartition(".")[2].isdigit() for name in group)


class Retargeting:
    """The weights that give, on the inputs at hand, the outputs closest to those on the exact inputs.

    Args:
        hessian: mean of x^T x of the inputs at hand, float64 [in, in].
        crossed: mean of x_exact^T x.
        damping: keeps weights near what they are, times the mean diagonal.
    """

    def __init__(self, hessian: Tensor, crossed: Tensor, damping: float):
        ridge = (
            damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=torch.float64, device=hessian.device)
        )
        self._moment = crossed.T + ridge
        self._factor = torch.linalg.cholesky(hessian + ridge) if damping > 0 else None
        self._hessian = hessian

    def __call__(self, weight: Tensor) -> Tensor:
        """Float64 [rows, in], for [rows, in]."""
        wanted = self._moment @ weight.to(torch.float64).T
        if self._factor is None:
            return torch.linalg.solve(self._hessian, wanted).T
        return torch.cholesky_solve(wanted, self._factor).T
