"""Linear layers that decide instead of computing features: routers of experts, gates of whole blocks.

Their outputs are few, so packing them saves nothing, and a wrong one sends a token to the wrong expert. They are found
by what they do:

* The model runs once without memory for its weights (the meta device), and what each linear layer puts out is followed
  through the operations. If it becomes integers (`topk`, `argmax`, `sort`), it chooses: experts, tokens, blocks.
* A layer with few outputs (`_gives_factors`) gives factors for whole vectors, as the weight of a shared expert or of
  one of several residual streams.

Names (`ROUTER_NAMES`) only help out where a model cannot be run without memory.
"""

from __future__ import annotations

import copy
import re
import weakref
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from fineq.format import BLOCK_WEIGHTS

FEW_OUTPUTS = BLOCK_WEIGHTS
"""Fewer outputs than this are no features: not even of one head."""

FEW_OF_USUAL = 4
"""Of a model that is tiny altogether, outputs are few only if they are this many times fewer than usual in it."""

ROUTER_NAMES = re.compile(r"\.(gate|router|shared_expert_gate)$")

CHOOSES = "router: its outputs become indices"
FACTORS = "gate: its few outputs are factors of whole vectors"
NAMED = "router by its name"

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

_known: weakref.WeakKeyDictionary[PreTrainedModel, dict[str, str]] = weakref.WeakKeyDictionary()


def deciding_layers(model: PreTrainedModel, linears: dict[str, nn.Module]) -> dict[str, str]:
    """Which linear layers decide, and what shows it.

    Args:
        model: with or without memory for its weights; it is not run if it has any, a copy without memory is.
        linears: the layers in question by path, with a matrix `weight`.

    Returns:
        A reason by path.
    """
    if model not in _known:
        chosen = _choosing(model, list(linears))
        few, named = _gives_factors(linears), [name for name in linears if ROUTER_NAMES.search(name)]
        _known[model] = dict.fromkeys(named, NAMED) | dict.fromkeys(few, FACTORS) | dict.fromkeys(chosen, CHOOSES)
    return {name: reason for name, reason in _known[model].items() if name in linears}


def _gives_factors(linears: dict[str, nn.Module]) -> list[str]:
    """Layers with few outputs, for their own and against the others of the model."""
    outputs = {name: _outputs(module) for name, module in linears.items()}
    limit = min(FEW_OUTPUTS, median(outputs.values()) / FEW_OF_USUAL) if outputs else 0
    return [name for name, count in outputs.items() if count < limit]


def _outputs(module: nn.Module) -> int:
    if isinstance(module, nn.Linear):
        return module.out_features
    weight = module.get_parameter("weight")  # of a `Conv1D`
    return weight.shape[1]


def _choosing(model: PreTrainedModel, names: list[str]) -> set[str]:
    """Layers whose outputs become indices."""
    shadow = model if next(model.parameters()).is_meta else _without_memory(model)
    weights = {id(shadow.get_submodule(name).weight): name for name in names}
    followed = _Follow(weights)
    restored = _pass_experts(shadow)
    try:
        ids = torch.zeros((1, TOKENS), dtype=torch.int64, device="meta")
        with torch.no_grad(), followed:
            shadow(input_ids=ids, use_cache=False)
    except Exception:
        # An operation that needs values. What ran up to there has been followed; blocks repeat, so what was seen of one
        # holds for the others, and the rule of few outputs holds for all.
        pass
    finally:
        for module, forward in restored:
            module.forward = forward
    kinds = {_kind(name) for name in followed.chosen}
    return {name for name in names if _kind(name) in kinds}


def _without_memory(model: PreTrainedModel) -> PreTrainedModel:
    with torch.device("meta"):
        return type(model)(copy.deepcopy(model.config))


def _kind(name: str) -> str:
    """A path without the numbers of blocks."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _pass_experts(model: PreTrainedModel) -> list[tuple[nn.Module, Callable[..., Any]]]:
    """Let stacks of experts hand on what they get: how they sort tokens depends on values, and needs none here."""
    changed = []
    for module in model.modules():
        if any(weight.ndim == 3 for weight in module.parameters(recurse=False)) and hasattr(module, "num_experts"):
            changed.append((module, module.forward))
            module.forward = lambda hidden, *rest, **named: hidden
    return changed


class _Follow(TorchFunctionMode):
    """Marks the outputs of layers and whatever is computed from them, up to the next product.

    Args:
        weights: names by `id` of the weight.
    """

    def __init__(self, weights: dict[int, str]):
        super().__init__()
        self.weights, self.chosen = weights, set[str]()

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(func, "__name__", "")
        result = STAND_INS[name](args[0]) if name in STAND_INS else func(*args, **(kwargs or {}))
        inputs = list(_tensors([*args, *(kwargs or {}).values()]))
        layers = frozenset(layer for tensor in inputs for layer in self._layers(tensor))
        marks = frozenset(mark for tensor in inputs for mark in getattr(tensor, MARKS, ()))
        is_product = name in PRODUCTS
        chooses = not (name in VALUES_TOO or name.startswith("new_") or name.endswith("_like"))
        for output in _tensors([result]):
            if is_product or marks or layers:
                setattr(output, MARKS, layers if is_product else marks)
                setattr(output, LAYERS, frozenset() if is_product else layers)
            if not is_product and chooses and output.dtype in INTEGERS:
                self.chosen |= marks
        return result

    def _layers(self, tensor: Tensor) -> Iterable[str]:
        """The layers whose weight a tensor is, or is made from."""
        return {self.weights[id(tensor)]} if id(tensor) in self.weights else getattr(tensor, LAYERS, ())


MARKS, LAYERS = "_fineq_outputs_of", "_fineq_weight_of"


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
