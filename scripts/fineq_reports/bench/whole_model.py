"""The whole of `fineq quantize` beside its kernel: reading, measuring, hashing and writing should cost no more."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig

from fineq.checkpoint.layers import skeleton
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.quantizer.vectorised import quantize
from fineq_reports.bench.records import BenchTable
from fineq_reports.bench.timing import measure

RECIPES = ("paper", "mse")
BLOCKS = 4
HIDDEN = 1024


def quantize_a_model(rounds: int) -> list[BenchTable]:
    """Ratio of the streamed quantization of a model directory to its kernel alone, for each recipe.

    The model: LLaMA-shaped, 51 million Gaussian weights in its blocks, float16, a vocabulary of 8000. Imports are not
    in the times; what is done once in each run, such as the plan, is.
    """
    with tempfile.TemporaryDirectory() as folder:
        directory = write_model(Path(folder) / "model")
        return [_beside_its_kernel(directory, Path(folder) / "out", recipe, rounds) for recipe in RECIPES]


def write_model(directory: Path) -> Path:
    """A model directory with Gaussian weights."""
    directory.mkdir()
    config = LlamaConfig(
        vocab_size=8000, hidden_size=HIDDEN, intermediate_size=2816, num_hidden_layers=BLOCKS, num_attention_heads=16,
        num_key_value_heads=16, architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    config.save_pretrained(directory)
    generator = torch.Generator().manual_seed(0)
    parameters = skeleton(config.to_dict()).named_parameters()
    tensors = {name: torch.randn(p.shape, generator=generator).half() for name, p in parameters}
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    return directory


def _beside_its_kernel(directory: Path, output: Path, recipe: str, rounds: int) -> BenchTable:
    source = open_source(directory)
    plan = make_plan(source, Options(recipe), "row")
    matrices = [
        source.tensors[unit.source].read(unit.source).view(source.entry(unit.source).shape) for unit in plan.quantized
    ]

    def kernel() -> None:
        for matrix in matrices:
            quantize(matrix, recipe)

    def whole() -> None:
        shutil.rmtree(output, ignore_errors=True)
        quantize_checkpoint(source, output, Options(recipe))

    cases: dict[str, Callable[[], object]] = {
        f"kernel alone ({recipe})": kernel,
        f"model directory ({recipe})": whole,
    }
    weights = sum(matrix.numel() for matrix in matrices)
    return measure(f"A whole model, recipe {recipe}", cases, rounds, weights)
