"""First part of the demo: quantize a language model and measure what that costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq.calibrated import is_calibrated_recipe
from fineq.checkpoint.loss_check import LARGEST_LOSS
from fineq.evaluation import evaluate
from fineq.evaluation.generation import continuation
from fineq.evaluation.methods import find_method
from fineq.evaluation.perplexity import Perplexity, Text, read_text, shipped_calibration_path
from fineq.models.language_model import LayerReport, block_linears, get_weight
from fineq.quantizer.defaults import CALIBRATED_RECIPE, DEFAULT_RECIPE
from fineq.quantizer.recipes import is_recipe

METHODS = ("none", "rtn", "paper", "mse")
"""Compared in the demo: full precision, 2-bit round-to-nearest, the paper's recipe, the best data-free one."""

FULL_PRECISION_BITS = 16
"""What a linear weight takes in the models that people download."""

WINDOW = 512
"""Tokens that the model sees at once, if it takes so many."""

SAMPLE_TOKENS = 60
SAMPLE_PROMPT = "Once upon a time"


@dataclass(frozen=True)
class MethodResult:
    """One method on the whole model."""

    name: str
    title: str
    bits_per_weight: float
    """Mean over the linear weights, scales and padding included."""
    linear_bytes: int
    layers: list[LayerReport]
    result: Perplexity
    sample: str
    """Greedy continuation of the prompt."""

    @property
    def ours(self) -> bool:
        """It is a recipe of FineQ."""
        return is_recipe(self.name) or is_calibrated_recipe(self.name)


def measure(
    model_path: Path, text: Text, progress: Callable[[str], None], methods: Sequence[str] = METHODS
) -> list[MethodResult]:
    """Perplexity, size and a sample of text for every method of the demo.

    Where the best data-free recipe destroys the model, as `fineq quantize` would find, the calibrated one is measured
    too.

    Args:
        model_path: Hugging Face directory.
        text: evaluation text.
        progress: told what is being worked on.
        methods: names of `fineq.evaluation.methods`; those that need calibration get the shipped text.
    """
    results = [_measure(model_path, text, name, progress) for name in methods]
    losses = {result.name: result.result.nll for result in results}
    if {"none", DEFAULT_RECIPE} <= set(losses) and losses[DEFAULT_RECIPE] - losses["none"] > LARGEST_LOSS:
        results.append(_measure(model_path, text, CALIBRATED_RECIPE, progress))
    return results


def _measure(model_path: Path, text: Text, name: str, progress: Callable[[str], None]) -> MethodResult:
    method = find_method(name)
    progress(method.title)
    subject = evaluate.prepare(model_path, method, read_text(shipped_calibration_path()))
    model, layers = subject.model, subject.layers
    weights = [get_weight(model, layer).numel() for layer in block_linears(model)]
    bits = [layer.bits_per_weight for layer in layers] or [FULL_PRECISION_BITS] * len(weights)
    total_bits = sum(w * b for w, b in zip(weights, bits, strict=True))
    longest = getattr(model.config, "max_position_embeddings", None) or WINDOW
    return MethodResult(
        name,
        method.title,
        total_bits / sum(weights),
        round(total_bits / 8),
        layers,
        evaluate.measure(subject, text, min(longest, WINDOW)).result,
        continuation(model, subject.tokenizer, SAMPLE_PROMPT, SAMPLE_TOKENS),
    )
