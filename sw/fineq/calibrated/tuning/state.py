"""Where a tuning run stands: kept in memory, or on disk for a run that goes on after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class State(Protocol):
    """Keeps what a run needs to go on."""

    def load(self) -> tuple[int, dict[str, Tensor]] | None:
        """Steps that are done, and tensors by name; None: nothing is kept."""

    def save(self, steps: int, tensors: Callable[[], dict[str, Tensor]]) -> None:
        """Called after every step; to keep it, or not this time."""


class MemoryState:
    """Keeps nothing: a run that is interrupted begins again."""

    def load(self) -> None:
        return None

    def save(self, steps: int, tensors: Callable[[], dict[str, Tensor]]) -> None:
        pass


MOMENTS = ("exp_avg", "exp_avg_sq")


def collect(leaves: dict[str, Tensor], optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """The leaves and the optimizer's moments by name."""
    tensors = {name: leaf.detach() for name, leaf in leaves.items()}
    for moment in MOMENTS:
        tensors |= {f"{moment}.{name}": optimizer.state[leaf][moment] for name, leaf in leaves.items()}
    return tensors


def restore(tensors: dict[str, Tensor], steps: int, leaves: dict[str, Tensor], optimizer: torch.optim.Adam) -> None:
    """Bring back what `collect` found after `steps` steps."""
    with torch.no_grad():
        for name, leaf in leaves.items():
            leaf.copy_(tensors[name])
            optimizer.state[leaf] = {moment: tensors[f"{moment}.{name}"] for moment in MOMENTS}
            optimizer.state[leaf]["step"] = torch.tensor(float(steps))
