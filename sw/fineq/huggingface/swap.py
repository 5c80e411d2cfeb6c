"""Puts packed layers into a model that transformers has built but not filled yet."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from fineq.checkpoint.fileformat import PackedEntry
from fineq.checkpoint.layers import PackableWeight, find_layers
from fineq.checkpoint.names import TensorNames, stacks_rows
from fineq.common.errors import FineqError
from fineq.huggingface.int8 import Int8Embedding, Int8Linear, Int8TiedLinear
from fineq.huggingface.linear import FineqEmbedding, FineqExperts, FineqLinear, PackedModule


def swap_layers(model: PreTrainedModel, entries: dict[str, PackedEntry]) -> None:
    """Replace the layers whose weights are packed, in place.

    Args:
        model: as transformers built it, before weights are loaded.
        entries: packed tensors of the checkpoint, by name.

    Raises:
        FineqError: a packed tensor does not fit the layer that it belongs to.
    """
    layers, names, state = find_layers(model), TensorNames(model), model.state_dict()
    stacks: dict[str, Any] = {}
    for entry in entries.values():
        parameter, converter, _ = names.parameter(entry.marker)
        if parameter not in state:
            continue  # of a part that this class lacks, such as the head: transformers reports it as unexpected
        layer = layers.get(parameter)
        if layer is None or (converter is not None and not stacks_rows(converter)):
            raise FineqError(f"{entry.name} is packed, but {type(model).__name__} has no layer there that could be")
        if layer.kind == "experts":
            stacks[parameter] = converter
        else:
            _swap(model, layer, entry)
    for parameter, converter in stacks.items():
        _swap_experts(model, layers[parameter], len(converter.source_patterns) if converter else 0)


def _swap(model: PreTrainedModel, layer: PackableWeight, entry: PackedEntry) -> None:
    path = layer.parameter.rpartition(".")[0]
    old = model.get_submodule(path)
    rows, inputs = layer.shape[::-1] if layer.transposed else layer.shape
    if entry.shape != (rows, inputs):
        raise FineqError(f"{entry.name} has shape {list(entry.shape)}, the model's layer {[rows, inputs]}")
    weight = old.get_parameter("weight")
    if entry.is_int8:
        _swap_int8(model, layer, (rows, inputs))
        return
    if layer.kind == "embedding":
        new: nn.Module = FineqEmbedding(rows, inputs, entry.axis, weight.dtype)
    else:
        new = FineqLinear(inputs, rows, getattr(old, "bias", None) is not None, entry.axis, weight.dtype)
    model.set_submodule(path, new.to(weight.device))


def _swap_int8(model: PreTrainedModel, layer: PackableWeight, shape: tuple[int, int]) -> None:
    """A matrix with 8 bits; what the model ties to an embedding refers to that."""
    path = layer.parameter.rpartition(".")[0]
    old = model.get_submodule(path)
    weight = old.get_parameter("weight")
    if layer.kind != "embedding":
        model.set_submodule(path, Int8Linear(shape[1], shape[0], _bias(old)).to(weight.device))
        return
    embedding = Int8Embedding(*shape, weight.dtype).to(weight.device)
    model.set_submodule(path, embedding)
    ties = model.all_tied_weights_keys
    for tied, origin in list(ties.items()):
        if layer.parameter not in (tied, origin):
            continue
        other = (origin if layer.parameter == tied else tied).rpartition(".")[0]
        head = model.get_submodule(other)
        if not isinstance(head, nn.Linear):
            raise FineqError(f"{other} is tied to the embedding, which has 8 bits, and is no linear layer")
        model.set_submodule(other, Int8TiedLinear(embedding, _bias(head)))
        del ties[tied]  # transformers would look for a parameter there


def _bias(layer: nn.Module) -> nn.Parameter | None:
    return cast("nn.Parameter | None", getattr(layer, "bias", None))


def _swap_experts(model: PreTrainedModel, layer: PackableWeight, sources: int) -> None:
    path, _, name = layer.parameter.rpartition(".")
    module = model.get_submodule(path)
    old = getattr(module, name)
    experts, rows, inputs = layer.shape
    shape = (experts, inputs, rows) if layer.transposed else (experts, rows, inputs)
    delattr(module, name)
    setattr(module, name, FineqExperts(shape, layer.transposed, sources, old.dtype).to(old.device))
    config = cast(PreTrainedConfig, module.config)
    config._experts_implementation = "eager"  # the others want all experts as one tensor


def unpack_layers(model: PreTrainedModel, dtype: torch.dtype | None) -> None:
    """The reverse, in place: ordinary layers with dequantized weights (None: float32). `Conv1D` becomes `nn.Linear`."""
    tied = {path: module for path, module in model.named_modules() if isinstance(module, Int8TiedLinear)}
    paths = {id(module): path for path, module in model.named_modules()}
    for path, module in list(model.named_modules()):
        if not isinstance(module, PackedModule):
            continue
        weight = nn.Parameter(module.unpacked().to(dtype=dtype), requires_grad=False)
        if isinstance(module, FineqExperts):
            parent, _, name = path.rpartition(".")
            delattr(model.get_submodule(parent), name)
            setattr(model.get_submodule(parent), name, weight)
            continue
        if isinstance(module, FineqEmbedding | Int8Embedding):
            new: nn.Module = nn.Embedding(weight.shape[0], weight.shape[1], device="meta")
            new.weight = weight
        else:
            assert isinstance(module, FineqLinear | Int8Linear)
            new = _linear(weight, module.bias)
        model.set_submodule(path, new)
    for path, module in tied.items():
        weight = model.get_submodule(paths[id(module.embedding)]).get_parameter("weight")
        model.set_submodule(path, _linear(weight, module.bias))
    if tied:
        model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _linear(weight: nn.Parameter, bias: nn.Parameter | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = weight
    if bias is not None:
        layer.bias = bias
    return layer
