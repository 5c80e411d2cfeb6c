"""Tiny quantized models, and what tests of loaded models compare."""

import torch
from helpers.models.tiny_models import make_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import fineq.huggingface  # noqa: F401  (lets transformers load what is quantized here)
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source

IDS = torch.arange(3, 43).view(2, 20)


def quantize_model(architecture, directory, options=None, **making):
    source = make_model(architecture, directory / "source", **making)
    quantize_checkpoint(open_source(source), directory / "quantized", options or Options())
    return source, directory / "quantized"


def load(directory, **options):
    return AutoModelForCausalLM.from_pretrained(directory, **options)


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def assert_same_logits(model, reference):
    """Up to the order in which a matrix multiplication sums."""
    torch.testing.assert_close(logits(model), logits(reference), rtol=1e-5, atol=1e-4)


def tensors(directory) -> dict[str, torch.Tensor]:
    return {name: t for file in directory.glob("*.safetensors") for name, t in load_file(file).items()}


def assert_same_tensors(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]), name
