"""Blocks that are made the same: to see what a model does with its layers, running one of each kind is enough.

A model of thirty equal blocks takes thirty times as long to follow as one block, and shows nothing more. Two blocks are
of one kind if all their modules have the same classes, sizes and settings; of a setting that only counts the blocks
(transformers' `layer_idx`) or parts of them the value does not matter. Whatever cannot be compared, such as an object
of a block's own, makes a kind of its own, and so does a weight that several blocks share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

INHERITED = vars(nn.Module()).keys()
"""What every module has; parameters, buffers and parts, which are among it, are looked at by themselves."""

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)

COUNTED = "counts the blocks"
"""In the place of a setting that does."""

Blocks = Sequence[nn.Module] | nn.ModuleList

Facts = dict[tuple[str, str], Any]
"""What a block is made of, by path of a module in it and name of a setting."""


@contextmanager
def each_kind_once(lists: Iterable[Blocks]) -> Iterator[None]:
    """Inside, a block that is of the same kind as one that has run, and gets inputs of the same form, gives what that
    one gave.

    Args:
        lists: of blocks.
    """
    changed = []
    lists = list(lists)
    shared = _shared_weights(block for blocks in lists for block in blocks)
    for blocks in lists:
        kinds = kinds_of_blocks(blocks, shared)
        outputs: dict[Any, Any] = {}
        for block, kind in zip(blocks, kinds, strict=True):
            if kinds.count(kind) > 1:
                changed.append(block)
                block.forward = _once(block.forward, kind, outputs)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for block in changed:
            del block.forward


def kinds_of_blocks(blocks: Blocks, shared: frozenset[int] = frozenset()) -> list[int]:
    """A number for each block of a list; equal for blocks that are made the same.

    Args:
        shared: `id` of weights that several blocks hold.
    """
    facts = [_facts(block, shared) for block in blocks]
    for key in {key for each in facts for key in each}:
        if _counts({number: each[key] for number, each in enumerate(facts) if key in each}):
            for each in facts:
                if key in each:
                    each[key] = COUNTED
    found: list[Facts] = []
    kinds = []
    for each in facts:
        if each not in found:
            found.append(each)
        kinds.append(found.index(each))
    return kinds


def _counts(values: dict[int, Any]) -> bool:
    """Whether a setting, by number of block, only counts: one more with each block, or some more with each of many."""
    if not all(value[0] is int for value in values.values()):
        return False
    (first, start), *others = ((number, value[1]) for number, value in values.items())
    steps = {(value - start) / (number - first) for number, value in others}
    return len(steps) == 1 and (steps == {1} or len(others) > 1)


def _shared_weights(blocks: Iterable[nn.Module]) -> frozenset[int]:
    holders = Counter(id(weight) for block in blocks for weight in block.parameters())
    return frozenset(weight for weight, count in holders.items() if count > 1)


def _facts(block: nn.Module, shared: frozenset[int]) -> Facts:
    facts: Facts = {}
    for path, module in block.named_modules(remove_duplicate=False):
        facts[path, ""] = type(module), module.training
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            facts[path, name] = (*_form(value), id(value) if id(value) in shared else None)
        facts.update({(path, name): _form(value) for name, value in vars(module).items() if name not in INHERITED})
    return facts


def _once(forward: Callable[..., Any], kind: int, outputs: dict[Any, Any]) -> Callable[..., Any]:
    def give(*args: Any, **named: Any) -> Any:
        key = kind, _form(args), _form(named)
        if key not in outputs:
            outputs[key] = forward(*args, **named)
        return outputs[key]

    return give


def _form(value: Any) -> tuple[Any, ...]:
    """What two values have in common that are the same but for the numbers in tensors."""
    if isinstance(value, Tensor):
        return Tensor, tuple(value.shape), value.dtype
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, list | tuple):
        return type(value), *map(_form, value)
    if isinstance(value, dict):
        return type(value), *((_form(name), _form(part)) for name, part in value.items())
    if isinstance(value, partial):
        return partial, *map(_form, (value.func, value.args, value.keywords))
    return type(value), id(value)
