"""The files of a model of real shapes without its weights: sparse shards, and random values where they are wanted."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import torch
from transformers import LlamaConfig

from fineq.checkpoint.container import DTYPES
from fineq.checkpoint.layers import skeleton
from fineq.checkpoint.source import CONFIG_FILE, INDEX_FILE, Source
from fineq_sim.workloads.language_model import ModelShape

SHARD_BYTES = 10 * 10**9
"""Of a shard at most, as the hub has them."""

DEVIATION = 0.02
"""Of the random weights."""

ROWS = 256
"""That are made at once."""


def make_layout(shape: ModelShape, directory: Path, shard_bytes: int = SHARD_BYTES) -> None:
    """Config and bfloat16 shards of a LLaMA model of a shape; the shards have headers and holes, and take no room.

    Raises:
        OSError: the file system has no files of that size.
    """
    inner = {layer.name: layer.channels for layer in shape.layers}
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=inner["mlp.up_proj"],
        num_hidden_layers=shape.blocks,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=4096,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    )
    directory.mkdir(parents=True)
    described = config.to_dict()
    (directory / CONFIG_FILE).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    shards: list[dict[str, tuple[int, ...]]] = [{}]
    size = 0
    for name, value in skeleton(described).state_dict().items():
        nbytes = 2 * value.numel()
        if size and size + nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tuple(value.shape)
        size += nbytes
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    for file, tensors in zip(names, shards, strict=True):
        _write_header(directory / file, tensors)
    weights = {tensor: file for file, tensors in zip(names, shards, strict=True) for tensor in tensors}
    (directory / INDEX_FILE).write_text(json.dumps({"metadata": {}, "weight_map": weights}) + "\n", encoding="utf-8")


def _write_header(path: Path, tensors: dict[str, tuple[int, ...]]) -> None:
    header, end = {}, 0
    for name, shape in tensors.items():
        first, end = end, end + 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [first, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def fill(source: Source, names: Collection[str]) -> None:
    """Random weights for some tensors of a layout."""
    for name in names:
        container, entry = source.tensors[name], source.entry(name)
        generator = torch.Generator().manual_seed(len(name))
        with container.path.open("r+b") as file:
            file.seek(container.data_start + entry.start)
            row = entry.shape[-1]
            for first in range(0, entry.elements // row, ROWS):
                count = min(ROWS, entry.elements // row - first)
                values = torch.randn(count, row, generator=generator) * DEVIATION
                file.write(values.to(DTYPES[entry.dtype]).view(torch.uint8).numpy().tobytes())
