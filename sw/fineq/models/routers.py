"""Linear layers that cannot or should not be packed: those that decide, and those that are more than a product.

Routers of experts and gates of whole blocks decide instead of computing features. Their outputs are few, so packing
them saves nothing, and a wrong one sends a token to the wrong expert. They are found by what they do
(`fineq.models.following`):

* If the outputs of a layer become integers (`topk`, `argmax`, `sort`), it chooses: experts, tokens, blocks.
* A layer with few outputs (`_gives_factors`) gives factors for whole vectors, as the weight of a shared expert or of
  one of several residual streams.

A packed layer has no weight to show and multiplies as `nn.Linear` does. So a layer stays that does something else with
its weight (`fineq.models.products`), or whose weight the model uses elsewhere too, be it in another layer.

Names (`ROUTER_NAMES`) only help out where a model cannot be run without memory.
"""

from __future__ import annotations

import re
import weakref
from statistics import median

from torch import nn
from transformers import PreTrainedModel

from fineq.format import BLOCK_WEIGHTS
from fineq.models.following import follow
from fineq.models.products import is_plain_product

FEW_OUTPUTS = BLOCK_WEIGHTS
"""Fewer outputs than this are no features: not even of one head."""

FEW_OF_USUAL = 4
"""Of a model that is tiny altogether, outputs are few only if they are this many times fewer than usual in it."""

ROUTER_NAMES = re.compile(r"\.(gate|router|shared_expert_gate)$")

CHOOSES = "router: its outputs become indices"
FACTORS = "gate: its few outputs are factors of whole vectors"
NAMED = "router by its name"
BORROWED = "its weight is used outside of the layer too"
TIED = "several layers share its weight"
NO_PRODUCT = "more than a product of its inputs with its weight"

_known: weakref.WeakKeyDictionary[PreTrainedModel, dict[str, str]] = weakref.WeakKeyDictionary()


def special_layers(model: PreTrainedModel, linears: dict[str, nn.Module]) -> dict[str, str]:
    """Which linear layers stay, and what shows that they must.

    Args:
        model: with or without memory for its weights; it is not run if it has any, a copy without memory is.
        linears: the layers in question by path, with a matrix `weight`.

    Returns:
        A reason by path.
    """
    if model not in _known:
        seen = follow(model)
        few, named = _gives_factors(linears), [name for name in linears if ROUTER_NAMES.search(name)]
        other = [name for name, module in linears.items() if not is_plain_product(module)]
        shared = {*model.all_tied_weights_keys, *model.all_tied_weights_keys.values()}
        tied = [name for name in linears if f"{name}.weight" in shared]
        _known[model] = (
            dict.fromkeys(other, NO_PRODUCT)
            | dict.fromkeys(tied, TIED)
            | dict.fromkeys(seen.borrowed, BORROWED)
            | dict.fromkeys(named, NAMED)
            | dict.fromkeys(few, FACTORS)
            | dict.fromkeys(seen.chosen, CHOOSES)
        )
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
