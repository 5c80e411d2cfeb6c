"""Which tensors of a model are quantized, and where in the model a tensor of a file goes.

This is the one definition of both. It works on any model of transformers, also on one without memory for its
weights (`skeleton`), so that a model much larger than the memory can be planned and streamed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
from transformers.pytorch_utils import Conv1D

from fineq.common.errors import FineqError
from fineq.models.language_model import block_linears


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
    if isinstance(embedding, nn.Embedding):
        parameter = f"{paths[id(embedding)]}.weight"
        found[parameter] = PackableWeight(parameter, "embedding", "embedding", ())
    if isinstance(head, nn.Linear):
        parameter = f"{paths[id(head)]}.weight"
        found[parameter] = PackableWeight(parameter, "linear", "head", ())
    return {name: replace(layer, shape=tuple(parameters[name].shape)) for name, layer in found.items()}


def skeleton(config: dict[str, Any]) -> PreTrainedModel:
    """The causal language model that a config.json describes, without memory for its weights.

    Raises:
        FineqError: transformers does not know it, or cannot build it.
    """
    model_type = config["model_type"]
    if model_type not in CONFIG_MAPPING:
        raise FineqError(f"transformers does not know the model_type {model_type!r} of config.json: check its spelling")
    try:
        settings = CONFIG_MAPPING[model_type].from_dict(config)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(settings)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FineqError(f"transformers cannot build the model_type {model_type!r} of config.json: {reason}") from None


class TensorNames:
    """Translates tensor names of files into parameter names of a model, the way that `from_pretrained` does."""

    def __init__(self, model: PreTrainedModel):
        conversions = get_model_conversion_mapping(model)
        self._renamings = [entry for entry in conversions if isinstance(entry, WeightRenaming)]
        self._converters = [entry for entry in conversions if isinstance(entry, WeightConverter)]
        self._prefix = model.base_model_prefix
        self._state = model.state_dict()

    def parameter(self, tensor: str) -> tuple[str, WeightConverter | None, int]:
        """Where a tensor goes: the parameter; if it is only a part of that, transformers' converter, and which of
        the converter's sources the tensor is.
        """
        renamed, pattern = rename_source_key(tensor, self._renamings, self._converters, self._prefix, self._state)
        if pattern is None:
            return (tensor if renamed not in self._state and tensor in self._state else renamed), None, 0
        converter = next(entry for entry in self._converters if pattern in entry.source_patterns)
        return renamed, converter, converter.source_patterns.index(pattern)


def stacks_rows(converter: WeightConverter) -> bool:
    """Whether a converter only stacks experts and joins their rows, which works on packed matrices as well."""
    operations = [(type(entry).__name__, getattr(entry, "dim", None)) for entry in converter.operations]
    return operations in ([("MergeModulelist", 0)], [("MergeModulelist", 0), ("Concatenate", 1)])
