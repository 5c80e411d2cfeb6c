"""Models that are harder to quantize than the shipped one, and compute the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from fineq.models.locations import shipped_model_path


def with_outlier_channels(directory: Path, factor: float = 40.0, every: int = 16) -> Path:
    """The shipped model with large input channels, as large models have: the norm before a layer divides by what the
    layer's columns are multiplied with, so the model computes what it did."""
    shutil.copytree(shipped_model_path(), directory)
    tensors = {name: t.float() for name, t in load_file(directory / "model.safetensors").items()}
    readers = {"input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
               "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj")}  # fmt: skip
    for norm, layers in readers.items():
        for block in range(4):
            tensors[f"model.layers.{block}.{norm}.weight"][::every] /= factor
            for layer in layers:
                tensors[f"model.layers.{block}.{layer}.weight"][:, ::every] *= factor
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    return directory
