"""What a model does with the weights and the outputs of its layers, seen by following them through one run.

The model runs without memory for its weights (the meta device), and of blocks that are made the same only one
(`fineq.models.repeats`), so this costs little and needs no input of meaning.
"""

from __future__ import annotations

import copy
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fineq.common.errors import FineqError
from fineq.models.blocks import block_lists
from fineq.models.repeats import each_kind_once

TOKENS = 8
"""Length of the input that is followed; more than any kernel of a short convolution, so that no branch is skipped."""

PRODUCTS = frozenset(
    "linear matmul mm bmm mv addmm addmv baddbmm einsum __matmul__ __rmatmul__ scaled_dot_product_attention".split()
)
"""Operations after which the values are features of their own, no longer the outputs of a layer."""

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

STAND_INS: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda tensor: torch.zeros((), dtype=tensor.dtype, device="cpu").item(),
    "__bool__": lambda tensor: True,  # most such questions are checks, of a mask or of an argument
    "__int__": lambda tensor: 0,
    "__index__": lambda tensor: 0,
    "__float__": lambda tensor: 0.0,
    "tolist": lambda tensor: torch.zeros(tensor.shape, dtype=tensor.dtype, device="cpu").tolist(),
    "nonzero": lambda tensor: torch.zeros((0, tensor.ndim), dtype=torch.int64, device="meta"),
    "equal": lambda tensor: True,
}
"""Operations whose results depend on values, which a tensor without memory lacks, and what they then give."""

VALUES_TOO = ("max", "min")
"""Operations that give indices beside what they are mostly called for; who uses the indices shows in the next one.
`new_...` and `..._like` do not look at values at all."""

PLACES = frozenset(["device", "is_meta", "requires_grad", "is_cuda", "is_cpu"])
"""What may be asked of a weight from anywhere: the answer is the same when it is packed."""


@dataclass(frozen=True)
class Seen:
    """What a run shows.

    Attributes:
        chosen: layers whose outputs become indices.
        borrowed: layers whose weight is also used outside of themselves: multiplied, or asked for its type or shape.
        failure: why the run ended early; None: it did not.
    """

    chosen: frozenset[str]
    borrowed: frozenset[str]
    failure: str | None = None


_seen: weakref.WeakKeyDictionary[PreTrainedModel, Seen] = weakref.WeakKeyDictionary()


def follow(model: PreTrainedModel) -> Seen:
    """Run a model without memory and see what becomes of its linear layers and embeddings.

    Args:
        model: with or without memory for its weights; it is not run if it has any, a copy without memory is.
    """
    if model not in _seen:
        _seen[model] = _follow(model if next(model.parameters()).is_meta else _without_memory(model))
    return _seen[model]


def _follow(shadow: PreTrainedModel) -> Seen:
    try:
        with each_kind_once(block_lists(shadow).values()):
            seen = _run(shadow)
    except FineqError:  # no list of blocks
        return _run(shadow)
    if seen.failure is None:
        return seen
    whole = _run(shadow)
    return Seen(seen.chosen | whole.chosen, seen.borrowed | whole.borrowed, whole.failure)


def _run(shadow: PreTrainedModel) -> Seen:
    names = [name for name, module in shadow.named_modules() if isinstance(module, nn.Linear | Conv1D | nn.Embedding)]
    layers: dict[int, list[tuple[str, nn.Module]]] = defaultdict(list)
    for name in names:
        module = shadow.get_submodule(name)
        layers[id(module.get_parameter("weight"))].append((name, module))
    running: Counter[nn.Module] = Counter()
    followed = _Follow(layers, running)
    handles = [
        handle
        for same in layers.values()
        for _, module in same
        for handle in (
            module.register_forward_pre_hook(lambda module, _: running.update([module])),
            module.register_forward_hook(lambda module, *_: running.subtract([module]), always_call=True),
        )
    ]
    failure = None
    changed, was_training = _pass_experts(shadow), shadow.training
    shadow.eval()  # as it runs after loading: some models change their weights then
    try:
        ids = torch.zeros((1, TOKENS), dtype=torch.int64, device="meta")
        with torch.no_grad(), followed:
            shadow(input_ids=ids, use_cache=False)
    except Exception as error:
        # An operation that needs values. What ran up to there has been followed; blocks repeat, so what was seen of one
        # holds for the others.
        failure = f"{type(error).__name__}: {error}"
    finally:
        shadow.train(was_training)
        for module in changed:
            del module.forward
        for handle in handles:
            handle.remove()
    chosen, borrowed = ({_kind(name) for name in seen} for seen in (followed.chosen, followed.borrowed))
    return Seen(
        frozenset(name for name in names if _kind(name) in chosen),
        frozenset(name for name in names if _kind(name) in borrowed),
        failure,
    )


def _without_memory(model: PreTrainedModel) -> PreTrainedModel:
    with torch.device("meta"):
        return type(model)(copy.deepcopy(model.config))


def _kind(name: str) -> str:
    """A path without the numbers of blocks."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _pass_experts(model: PreTrainedModel) -> list[nn.Module]:
    """Let stacks of experts hand on what they get: how they sort tokens depends on values, and needs none here."""
    changed = []
    for module in model.modules():
        if any(weight.ndim == 3 for weight in module.parameters(recurse=False)) and hasattr(module, "num_experts"):
            changed.append(module)
            module.forward = lambda hidden, *rest, **named: hidden  # type: ignore[method-assign]
    return changed


class _Follow(TorchFunctionMode):
    """Marks the outputs of layers and whatever is computed from them, up to the next product.

    Args:
        layers: names and modules by `id` of the weight.
        running: modules that run at the moment.
    """

    def __init__(self, layers: dict[int, list[tuple[str, nn.Module]]], running: Counter[nn.Module]):
        super().__init__()
        self.layers, self.running = layers, running
        self.chosen: set[str] = set()
        self.borrowed: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(func, "__name__", "")
        result = STAND_INS[name](args[0]) if name in STAND_INS else func(*args, **(kwargs or {}))
        inputs = list(_tensors([*args, *(kwargs or {}).values()]))
        layers = frozenset(layer for tensor in inputs for layer in self._layers_of(tensor))
        marks = frozenset(mark for tensor in inputs for mark in getattr(tensor, MARKS, ()))
        is_product = name in PRODUCTS
        chooses = not (name in VALUES_TOO or name.startswith("new_") or name.endswith("_like"))
        if not (name == "__get__" and func.__self__.__name__ in PLACES):
            self._note_borrowers(inputs)
        for output in _tensors([result]):
            if is_product or marks or layers:
                setattr(output, MARKS, layers if is_product else marks)
                setattr(output, LAYERS, frozenset() if is_product else layers)
            if not is_product and chooses and output.dtype in INTEGERS:
                self.chosen |= marks
        return result

    def _note_borrowers(self, inputs: list[Tensor]) -> None:
        for tensor in inputs:
            owners = self.layers.get(id(tensor), [])
            if owners and not any(self.running[module] > 0 for _, module in owners):
                self.borrowed |= {name for name, _ in owners}

    def _layers_of(self, tensor: Tensor) -> Iterable[str]:
        """The layers whose weight a tensor is, or is made from."""
        if id(tensor) in self.layers:
            return {name for name, _ in self.layers[id(tensor)]}
        return getattr(tensor, LAYERS, ())


MARKS, LAYERS = "_fineq_outputs_of", "_fineq_weight_of"


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
