"""Sound checkpoints to begin with, made by the code that writes real ones. The same every time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fineq.checkpoint.fileformat import BLOCKS, FORMAT_VERSION, SCALES, PackedEntry
from fineq.checkpoint.writer import ShardWriter
from fineq.format import pack
from fineq.models.stored import QUANT_METHOD
from fineq_sim.fuzz.files.parts import Case, shard_names

_MODEL: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8, "hidden_size": 8,
    "intermediate_size": 30, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1,
    "max_position_embeddings": 16, "tie_word_embeddings": False,
}  # fmt: skip

_PLAIN: dict[str, tuple[str, tuple[int, ...]]] = {
    "model.norm.weight": ("F32", (3,)),
    "lm_head.weight": ("BF16", (2, 4)),
}


def make_seeds() -> dict[str, Case]:
    """Small checkpoints by what they show: rows, columns, a stack of experts, two files; and a whole tiny model."""
    return {
        "row": _packed("row", {"model.layers.0.mlp.up_proj": (4, 8), "model.layers.0.mlp.down_proj": (2, 30)}),
        "column": _packed("column", {"model.layers.0.mlp.up_proj": (25, 2)}),
        "experts": _packed("row", {"model.layers.0.mlp.experts.gate": (2, 3, 7)}),
        "files": _packed("row", {"a.x": (2, 5), "b.y": (3, 24)}, files=2),
        "model": _model(),
    }


def _packed(axis: str, tensors: dict[str, tuple[int, ...]], files: int = 1) -> Case:
    settings = {
        "quant_method": QUANT_METHOD,
        "format_version": FORMAT_VERSION,
        "recipe": "mse",
        "axis": axis,
        "tensors": {name: list(shape) for name, shape in tensors.items()},
    }
    config = _MODEL | {"quantization_config": settings}
    rng = np.random.default_rng(1)
    parts: list[dict[str, tuple[str, tuple[int, ...]]]] = [{} for _ in range(files)]
    content: dict[str, np.ndarray] = {}
    for number, (name, shape) in enumerate(tensors.items()):
        entry = PackedEntry(name, shape, axis)
        parts[number % files] |= entry.parts()
        content |= _random_weights(entry, rng)
    parts[-1] |= _PLAIN
    total = sum(map(len, parts))
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, name) for name in shard_names(files)]
        for path, mine in zip(paths, parts, strict=True):
            _write(path, mine, content, config, total, rng)
        return Case(tuple(path.read_bytes() for path in paths), json.dumps(config, indent=2).encode())


def _random_weights(entry: PackedEntry, rng: np.random.Generator) -> dict[str, np.ndarray]:
    *stack, rows, inputs = entry.shape
    channels, length = (rows, inputs) if entry.axis == "row" else (inputs, rows)
    codes = rng.integers(-1, 2, (int(np.prod(stack, dtype=int)) * channels, length))
    return {
        f"{entry.name}.{BLOCKS}": pack(codes).reshape(entry.blocks_shape),
        f"{entry.name}.{SCALES}": rng.uniform(0.01, 1, entry.blocks_shape[:-1]).astype("<f4"),
        entry.marker: np.array([FORMAT_VERSION], np.uint8),
    }


def _write(
    path: Path,
    tensors: dict[str, tuple[str, tuple[int, ...]]],
    content: dict[str, np.ndarray],
    config: dict[str, Any],
    total: int,
    rng: np.random.Generator,
) -> None:
    writer = ShardWriter(path, tensors, config, total)
    for name, (dtype, shape) in tensors.items():
        data = content[name].tobytes() if name in content else rng.bytes(int(np.prod(shape)) * int(dtype[-2:]) // 8)
        sink = writer.open_tensor(name)
        sink.write(memoryview(data))
        sink.close()
    writer.finish()


def _model() -> Case:
    """What `fineq quantize` writes for a model of one block."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from fineq.checkpoint.planning import Options
    from fineq.checkpoint.quantize import quantize_checkpoint
    from fineq.checkpoint.source import open_source

    torch.manual_seed(1)
    with tempfile.TemporaryDirectory() as directory:
        source, target = Path(directory, "source"), Path(directory, "target")
        LlamaForCausalLM(LlamaConfig(**_MODEL)).save_pretrained(source)
        quantize_checkpoint(open_source(source), target, Options(include=("*mlp.up_proj*",)))
        return Case.read(target)
