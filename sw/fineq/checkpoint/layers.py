"""Which tensors of a model are quantized.

This is the one definition of it; `fineq.checkpoint.names` tells which tensor of a file is which of the model. It works
on any model of transformers, also on one without memory for its weights (`skeleton`), so that a model much larger than
the memory can be planned and streamed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fineq.checkpoint.config_match import understood
from fineq.common.errors import FineqError
from fineq.models.following import follow
from fineq.models.language_model import block_linears
from fineq.models.products import is_plain_lookup, is_plain_product


@dataclass(frozen=True)
class PackableWeight:
    """A weight of the model that can be quantized.

    Attributes:
        parameter: name of the parameter in the model.
        kind: `linear`; `conv1d`, GPT-2's linear, stored as [inputs, outputs]; `experts`, a stack of matrices
            [experts, outputs, inputs]; `embedding`.
        place: `block`, `head` (the output projection) or `embedding` (of the input).
        shape: of the parameter as the model holds it.
        transposed: each matrix is stored as [inputs, outputs].
    """

    parameter: str
    kind: str
    place: str
    shape: tuple[int, ...]
    transposed: bool = False


def find_layers(model: PreTrainedModel) -> dict[str, PackableWeight]:
    """All weights that can be quantized, by parameter name: `block_linears`, then input embedding and output head."""
    found: dict[str, PackableWeight] = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in block_linears(model):
        if f"{name}.weight" in parameters:
            transposed = isinstance(model.get_submodule(name), Conv1D)
            layer = PackableWeight(f"{name}.weight", "conv1d" if transposed else "linear", "block", (), transposed)
        else:
            stack = name.rpartition(".")[0]
            transposed = bool(getattr(model.get_submodule(stack.rpartition(".")[0]), "is_transposed", False))
            layer = PackableWeight(stack, "experts", "block", (), transposed)
        found[layer.parameter] = layer
    paths = {id(module): path for path, module in model.named_modules()}
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    borrowed = follow(model).borrowed
    if isinstance(embedding, nn.Embedding) and paths[id(embedding)] not in borrowed and is_plain_lookup(embedding):
        parameter = f"{paths[id(embedding)]}.weight"
        found[parameter] = PackableWeight(parameter, "embedding", "embedding", ())
    if isinstance(head, nn.Linear) and paths[id(head)] not in borrowed and is_plain_product(head):
        parameter = f"{paths[id(head)]}.weight"
        found[parameter] = PackableWeight(parameter, "linear", "head", ())
    return {name: replace(layer, shape=tuple(parameters[name].shape)) for name, layer in found.items()}


def skeleton(config: dict[str, Any]) -> PreTrainedModel:
    """The causal language model that a config.json describes, without memory for its weights.

    Raises:
        FineqError: transformers does not know it, cannot build it, or it is no causal language model.
    """
    model_type = config["model_type"]
    if model_type not in CONFIG_MAPPING:
        raise FineqError(f"transformers does not know the model_type {model_type!r} of config.json: check its spelling")
    try:
        settings = understood(config)
    except Exception as error:
        raise _cannot_build(model_type, error) from None
    if type(settings) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise FineqError(
            f"transformers has no causal language model of the model_type {model_type!r}, only other kinds of models: "
            "FineQ quantizes causal language models"
        )
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(settings)
    except Exception as error:
        raise _cannot_build(model_type, error) from None


def _cannot_build(model_type: str, error: Exception) -> FineqError:
    reason = " ".join(str(error).split())[:200]
    return FineqError(f"transformers cannot build the model_type {model_type!r} of config.json: {reason}")
