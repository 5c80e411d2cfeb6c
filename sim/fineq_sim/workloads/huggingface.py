"""Shapes of models in Hugging Face layout: any config.json that transformers knows, and packed checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fineq.checkpoint.container import Container, load_json
from fineq.checkpoint.fileformat import BLOCKS, PackedEntry, check_checkpoint, parse_settings
from fineq.checkpoint.layers import PackableWeight, find_layers, skeleton, understood
from fineq.checkpoint.source import open_weights
from fineq.format.matrix import unpack
from fineq.models.stored import QUANT_METHOD
from fineq_sim.workloads.language_model import Layer, ModelShape
from fineq_sim.workloads.work import WorkloadError

NEEDED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")
"""Keys whose defaults in transformers are those of one model: none of them is filled in."""

CHOSEN_KEYS = ("num_experts_per_tok", "num_experts_per_token", "moe_topk")
"""What configurations call the experts that a token uses."""

Codes = Callable[[int], np.ndarray]


def read_shape(path: Path) -> ModelShape:
    """The shape of the model in a directory, or of a config.json.

    Raises:
        WorkloadError, FineqError: it cannot be read, or says too little.
    """
    file = path / "config.json" if path.is_dir() else path
    config = load_json(file, "the description of the model", special_floats=True)
    name = file.resolve().parent.name
    settings = config.pop("quantization_config", None)
    _check(config, file)
    if settings is None:
        return _shape(name, f"{file.name} of {name}", config, file, None)
    if not isinstance(settings, dict) or settings.get("quant_method") != QUANT_METHOD:
        method = settings.get("quant_method") if isinstance(settings, dict) else settings
        raise WorkloadError(
            f"{file} is of a model that {method!r} quantized: simulate the full-precision model's config.json, or "
            "a checkpoint of `fineq quantize`"
        )
    entries = parse_settings(settings, str(file))
    if any(entry.axis != "row" for entry in entries.values()):
        raise WorkloadError(f"{file} has the axis column: the accelerator takes weights packed by rows, quantize again")
    packed = _packed_codes(file.parent, config | {"quantization_config": settings}, entries)
    recipe = settings.get("recipe", "custom")
    return _shape(name, f"the packed checkpoint {name}, recipe {recipe}", config, file, packed)


def _check(config: dict[str, Any], file: Path) -> None:
    """Raise if a key is missing that the products depend on."""
    from transformers import CONFIG_MAPPING

    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise WorkloadError(f"{file} has no model_type: add it, such as llama")
    if model_type not in CONFIG_MAPPING:
        raise WorkloadError(f"{file}: transformers does not know the model_type {model_type!r}: check its spelling")
    kind = CONFIG_MAPPING[model_type]
    other = getattr(kind, "attribute_map", {})
    for key in NEEDED:
        stored = other.get(key, key)
        if key not in config and stored not in config and (key in other or hasattr(kind(), key)):
            raise WorkloadError(f"{file} has no {stored!r}: the sizes of the layers depend on it, add it")


def _shape(name: str, source: str, config: dict[str, Any], file: Path, packed: dict[str, Codes] | None) -> ModelShape:
    settings, model = understood(config), skeleton(config)
    text = settings.get_text_config()
    chosen = next((getattr(text, key) for key in CHOSEN_KEYS if getattr(text, key, None)), 1)
    layers: list[Layer] = []
    unpacked: list[Layer] = []
    for parameter, weight in find_layers(model).items():
        if weight.place != "block":
            continue
        layer = _layer(parameter, weight, int(chosen), packed)
        (unpacked if packed is not None and layer.codes is None else layers).append(layer)
    if not layers:
        what = "linear layers that could be packed" if packed is None else "a packed layer in its blocks"
        raise WorkloadError(f"{file} describes a model without {what}")
    if not hasattr(text, "num_attention_heads"):
        raise WorkloadError(
            f"{file} describes a model of type {text.model_type} without attention heads: what its blocks do beside "
            "their linear layers is not known here, give the products as a CSV file"
        )
    heads = int(text.num_attention_heads)
    return ModelShape(
        name,
        source,
        _alike(layers),
        int(text.num_hidden_layers),
        heads,
        int(getattr(text, "num_key_value_heads", None) or heads),
        int(getattr(text, "head_dim", None) or text.hidden_size // heads),
        int(text.hidden_size),
        int(text.vocab_size),
        _window(text),
        _alike(unpacked),
    )


def _window(text: Any) -> int | None:
    """Keys that every block looks back on; None where a block sees all: then all are counted."""
    window = getattr(text, "sliding_window", None)
    if not window or getattr(text, "use_sliding_window", True) is False:
        return None
    kinds = getattr(text, "layer_types", None) or ["sliding_attention"]
    return int(window) if set(kinds) == {"sliding_attention"} else None


def _layer(parameter: str, weight: PackableWeight, chosen: int, packed: dict[str, Codes] | None) -> Layer:
    *stack, channels, inner = weight.shape
    if weight.transposed:
        channels, inner = inner, channels
    name = parameter.removesuffix(".weight")
    codes = None if packed is None else packed.get(name, packed.get(parameter))
    experts = stack[0] if stack else 1
    return Layer(name, channels, inner, 1, experts, min(chosen, experts), codes)


def _alike(layers: list[Layer]) -> tuple[Layer, ...]:
    """Layers of all blocks that have the same place and sizes as one, unless their weights are known."""
    counts: dict[Any, list[Layer]] = {}
    for layer in layers:
        place = re.sub(r"\.\d+(?=\.)", ".*", layer.name)
        key = layer.name if layer.codes else (place, layer.channels, layer.inner, layer.experts, layer.chosen)
        counts.setdefault(key, []).append(layer)
    return tuple(
        Layer(
            same[0].name if len(same) == 1 else re.sub(r"\.\d+(?=\.)", ".*", same[0].name),
            same[0].channels,
            same[0].inner,
            len(same),
            same[0].experts,
            same[0].chosen,
            same[0].codes,
        )
        for same in counts.values()
    )


def _packed_codes(directory: Path, config: dict[str, Any], entries: dict[str, PackedEntry]) -> dict[str, Codes]:
    """What gives the integers of each packed tensor, by its name; every byte of the files is checked first."""
    containers = open_weights(directory)
    check_checkpoint([container.path for container in containers], config)
    places: dict[str, Container] = {name: container for container in containers for name in container.tensors}

    def maker(entry: PackedEntry) -> Codes:
        name = f"{entry.name}.{BLOCKS}"

        def codes(expert: int) -> np.ndarray:
            rows, width = entry.blocks_shape[-2:]
            blocks = places[name].read(name, expert * rows * width, rows * width).numpy()
            return unpack(blocks.reshape(rows, width), entry.shape[-1], strict=False)

        return codes

    return {entry.name: maker(entry) for entry in entries.values() if not entry.is_int8}
