"""What a decoder block is called with besides hidden states, for any number of windows.

Positions and masks mostly hold for any number of windows at once. Some models make such a tensor for the windows at
hand: BLOOM and Falcon give every head of every window its ALiBi biases, [windows * heads, 1, length]. What a block
takes is therefore looked at twice, with one window and with two, and made for others from the difference. What also
depends on the text (embeddings that are handed to every block) does not fit a block that runs on hidden states alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import MappingKey, TreeSpec, keystr, tree_flatten_with_path, tree_unflatten
from transformers import PreTrainedModel

from fineq.common.errors import FineqError

SAME = -1
"""In place of a dimension: the tensor holds for any number of windows."""


@dataclass(frozen=True)
class BlockArguments:
    """Arguments of one block without its hidden states.

    Attributes:
        leaves: tensors and other values, as they are for one window.
        dimensions: along which of its dimensions a leaf is repeated for more windows, or `SAME`.
        spec: how the leaves make up the positional and the named arguments.
    """

    leaves: list[Any]
    dimensions: list[int]
    spec: TreeSpec

    def for_windows(self, count: int) -> tuple[tuple, dict[str, Any]]:
        """Positional and named arguments for so many windows at once."""
        leaves = [
            leaf if dimension == SAME else _repeated(leaf, dimension, count)
            for leaf, dimension in zip(self.leaves, self.dimensions, strict=True)
        ]
        positional, named = tree_unflatten(leaves, self.spec)
        return positional, named


@dataclass(frozen=True)
class BlockCall:
    """What a block was called with.

    Attributes:
        hidden: [windows, length, width].
        names: of the other arguments' leaves, by which a user can find them.
        leaves: their values at that time; a container that the model goes on filling changes nothing here.
        spec: see `BlockArguments`.
    """

    hidden: Tensor
    names: list[str]
    leaves: list[Any]
    spec: TreeSpec


def watch_calls(model: PreTrainedModel, blocks: nn.ModuleList, window: Tensor, count: int) -> list[BlockCall]:
    """What the first blocks of a model are called with; the model runs no further.

    Args:
        window: int64 [windows, length].
        count: so many blocks.

    Raises:
        FineqError: the model does not call one of them.
    """
    calls: dict[int, BlockCall] = {}

    def note(number: int) -> Callable:
        def hook(module: nn.Module, arguments: tuple, keywords: dict) -> None:
            positional, named = list(arguments), dict(keywords)
            hidden = positional.pop(0) if positional else named.pop("hidden_states")
            found, spec = tree_flatten_with_path((tuple(positional), named))
            names = [_name(module, path) for path, _ in found]
            calls.setdefault(number, BlockCall(hidden.detach(), names, [leaf for _, leaf in found], spec))
            if len(calls) == count:
                raise _Enough

        return hook

    handles = [
        block.register_forward_pre_hook(note(number), with_kwargs=True) for number, block in enumerate(blocks[:count])
    ]
    try:
        with torch.no_grad():
            model(input_ids=window, use_cache=False)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missed = [number for number in range(count) if number not in calls]
    if missed:
        raise FineqError(f"{type(model).__name__} does not run its block {missed[0]} on a text: {_ADVICE}")
    return [calls[number] for number in range(count)]


def _name(block: nn.Module, path: tuple[Any, ...]) -> str:
    """What a user may call a leaf: the argument, and where in it the leaf lies."""
    _, argument, *further = path
    name = argument.key if isinstance(argument, MappingKey) else None
    if name is None:
        known = list(inspect.signature(type(block).forward).parameters)[2:]  # behind the block itself and hidden states
        place = argument.idx
        name = known[place] if place < len(known) else f"argument {place + 2}"
    return f"{name}{keystr(tuple(further))}"


def block_arguments(model: PreTrainedModel, one: BlockCall, two: BlockCall | None) -> BlockArguments:
    """The arguments of a block for any number of windows.

    Args:
        one: its call with one window.
        two: the call with that window and another one; None: there is no other.

    Raises:
        FineqError: they depend on the text, or in another way than expected on the number of windows.
    """
    dimensions = [SAME] * len(one.leaves)
    if two is not None:
        if one.spec != two.spec:
            raise FineqError(
                f"{type(model).__name__} calls a block with other arguments when it gets more windows: {_ADVICE}"
            )
        dimensions = [
            _dimension(model, name, *values) for name, *values in zip(one.names, one.leaves, two.leaves, strict=True)
        ]
    return BlockArguments(one.leaves, dimensions, one.spec)


def _dimension(model: PreTrainedModel, name: str, one: Any, two: Any) -> int:
    """The dimension along which `one` must be repeated to give `two`, or `SAME`."""
    if not isinstance(one, Tensor) or not isinstance(two, Tensor):
        is_equal = not isinstance(one, _PLAIN) or one == two
        dimension = SAME
    else:
        dimension = next((d for d, (a, b) in enumerate(zip(one.shape, two.shape, strict=False)) if a != b), SAME)
        expected = one if dimension == SAME else _repeated(one, dimension, 2)
        is_equal = expected.shape == two.shape and (one.is_meta or _is_close(expected, two))
    if not is_equal:
        raise FineqError(
            f"the blocks of {type(model).__name__} take {name}, which depends on the text that the model reads: "
            f"{_ADVICE}"
        )
    return dimension


_PLAIN = bool | int | float | str | None
_ADVICE = "its blocks cannot be run one at a time, so choose a method without calibration, such as recipe mse"


def _is_close(first: Tensor, second: Tensor) -> bool:
    """Equal but for rounding: with two windows a sum may be taken in another order."""
    if not (first.is_floating_point() and second.is_floating_point()):
        return torch.equal(first, second)
    return torch.allclose(first.float(), second.float(), rtol=1e-3, atol=1e-6, equal_nan=True)


def _repeated(value: Tensor, dimension: int, count: int) -> Tensor:
    """The tensor `count` times along a dimension; without memory where its size there is 1."""
    if value.shape[dimension] == 1:
        return value.expand(*(count if d == dimension else -1 for d in range(value.ndim)))
    return value if count == 1 else torch.cat([value] * count, dim=dimension)


class _Enough(Exception):
    """Ends a run of the model once all wanted calls are known."""
