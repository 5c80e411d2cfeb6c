"""Second part of the demo: one whole linear layer with its real inputs through the verilated array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fineq.evaluation.perplexity import Text, tokenize
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.activations import capture_activations
from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.activations import quantize_activations
from fineq.quantizer.golden_vectors import GoldenVectors, read_vectors, write_vectors
from fineq.quantizer.vectorised import quantize
from fineq_hw.config import ARRAYS
from fineq_sim.reference.core_cycles import LayerCycles, layer_cycles, vector_maxima
from fineq_sim.runs.layer import LayerRun, first_difference, run_layer


@dataclass(frozen=True, eq=False)
class LayerDemo:
    """A layer on the simulated hardware, and what the integer reference and the cycle model say of it."""

    layer: str
    recipe: str
    config: str
    vectors: GoldenVectors
    with_termination: LayerRun
    without_termination: LayerRun
    predicted: LayerCycles
    predicted_without: LayerCycles
    difference: str
    """Empty if every sum of both runs equals the integer reference."""

    @property
    def saved_share(self) -> float:
        """Share of the cycles that early termination saves."""
        return 1 - self.with_termination.cycles / self.without_termination.cycles

    def vector_share(self) -> np.ndarray:
        """Share of the weight vectors by largest magnitude, index = magnitude."""
        maxima = vector_maxima(self.vectors.codes, ARRAYS[self.config].columns)
        return np.bincount(maxima.ravel()) / maxima.size


def largest_layer(model_path: Path) -> str:
    """Name of the block linear with the most weights; the first of several."""
    model = load_model(model_path)
    return max(block_linears(model), key=lambda name: get_weight(model, name).numel())


def run(
    model_path: Path,
    text: Text,
    layer: str,
    directory: Path,
    recipe: str = "paper",
    config: str = "fineq_64x64",
    tokens: int | None = None,
) -> LayerDemo:
    """Quantize a layer, write its golden vectors and compute it on the verilated packed core.

    Args:
        model_path: Hugging Face directory.
        text: its first tokens give the layer's real inputs.
        layer: name of the linear layer.
        directory: for the golden vectors; the simulation reads those very files.
        recipe: of the quantizer.
        config: name of the array.
        tokens: rows of activations; None: as many as the array holds.
    """
    tokens = ARRAYS[config].rows if tokens is None else tokens
    model, tokenizer = load_model(model_path), load_tokenizer(model_path)
    token_ids = tokenize(tokenizer, text.content)[:tokens]
    inputs = capture_activations(model, token_ids[None], [layer])[layer]
    integers, scales = quantize_activations(inputs)
    packed = quantize(get_weight(model, layer).to(torch.float32), recipe=recipe, name=layer)
    write_vectors(directory, packed, integers, scales)

    vectors = read_vectors(directory)
    runs = {termination: run_layer(vectors, config, early_termination=termination) for termination in (True, False)}
    differences = (first_difference(outcome, vectors, config) for outcome in runs.values())
    return LayerDemo(
        layer,
        recipe,
        config,
        vectors,
        runs[True],
        runs[False],
        layer_cycles(vectors.codes, vectors.tokens, ARRAYS[config]),
        layer_cycles(vectors.codes, vectors.tokens, ARRAYS[config], early_termination=False),
        "; ".join(str(difference) for difference in differences if difference is not None),
    )
