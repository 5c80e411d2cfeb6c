"""Real work for gate-level runs: tiles of quantized matrices with their activations."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fineq.format import OUTLIER_BITS
from fineq.format.temporal import array_cycles
from fineq.models.locations import further_models
from fineq.quantizer.activations import quantize_activations
from fineq.quantizer.vectorised import quantize
from fineq_asic.activity.core_driver import Tile
from fineq_asic.activity.lanes import LANES
from fineq_hw.config import MAC_WEIGHT_BITS, ArrayConfig, MacConfig
from fineq_sim.reference.core_cycles import weight_vectors
from fineq_sim.reference.layer_partition import tile_inputs, weight_lines

GAUSSIAN_COLUMNS = 4096
_GAUSSIAN_CHANNELS = 512
_TOKENS = 256


@dataclass(frozen=True)
class Matrix:
    """A linear layer, quantized, with the activations that enter it.

    Attributes:
        name: of the layer.
        codes: FineQ codes, int8 [channels, columns].
        blocks: packed blocks, uint8 [channels, 7 * ceil(columns / 24)].
        integers: the same weights as integers, symmetric per channel, int8 [channels, columns], by their width in bits.
        activations: int8 [tokens, columns].
    """

    name: str
    codes: np.ndarray
    blocks: np.ndarray
    integers: dict[int, np.ndarray]
    activations: np.ndarray


@dataclass(frozen=True)
class DataSet:
    """Matrices and where they come from.

    Attributes:
        source: in words, for the report.
        matrices: quantized.
        model: directory name of the model that they are of; empty: they are drawn at random.
        recipe: that they were quantized with.
    """

    source: str
    matrices: tuple[Matrix, ...]
    model: str = ""
    recipe: str = ""


def quantize_matrix(name: str, weight: torch.Tensor, activations: torch.Tensor, recipe: str = "paper") -> Matrix:
    """Quantize a weight [channels, columns] and its input [tokens, columns]."""
    packed = quantize(weight.float(), recipe=recipe, name=name)
    # The rule of the activations, per channel.
    plain = {
        bits: quantize_activations(weight.float(), name, (1 << (bits - 1)) - 1)[0].numpy()
        for bits in MAC_WEIGHT_BITS
        if bits != OUTLIER_BITS
    }
    inputs, _ = quantize_activations(activations.float())
    return Matrix(name, packed.codes().numpy(), packed.blocks.numpy(), plain, inputs.numpy())


def gaussian_data(recipe: str = "paper", seed: int = 0) -> DataSet:
    """Weights and activations drawn from a normal distribution; rows of 4096 columns."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(_GAUSSIAN_CHANNELS, GAUSSIAN_COLUMNS, generator=generator)
    activations = torch.randn(_TOKENS, GAUSSIAN_COLUMNS, generator=generator)
    matrix = quantize_matrix("gaussian", weight, activations, recipe)
    return DataSet(f"seeded Gaussian rows of {GAUSSIAN_COLUMNS} columns, recipe {recipe}", (matrix,), recipe=recipe)


def model_data(directory: Path, text: Path | None = None, recipe: str = "paper") -> DataSet:
    """All linear layers of a model with the activations that a text causes.

    Args:
        directory: model directory in Hugging Face layout.
        text: text file; default is the evaluation text of the package.
        recipe: quantizer recipe.
    """
    from fineq.evaluation.perplexity import read_text, shipped_text_path, tokenize
    from fineq.huggingface.loading import load_model, load_tokenizer
    from fineq.models.activations import capture_activations
    from fineq.models.language_model import block_linears, get_weight

    model = load_model(directory)
    content = read_text(text or shipped_text_path()).content
    limit = min(_TOKENS, getattr(model.config, "max_position_embeddings", _TOKENS))
    tokens = tokenize(load_tokenizer(directory), content).reshape(1, -1)[:, :limit]
    names = block_linears(model)
    inputs = capture_activations(model, tokens, names)
    matrices = tuple(
        quantize_matrix(name, get_weight(model, name), inputs[name].reshape(-1, inputs[name].shape[-1]), recipe)
        for name in names
    )
    source = f"model {directory.name}, {tokens.shape[1]} tokens of text, recipe {recipe}"
    return DataSet(source, matrices, directory.name, recipe)


def default_data(model: Path | None = None, recipe: str = "paper") -> DataSet:
    """The model given, else the one the repository carries, else Gaussian rows: the same on every machine."""
    from fineq.models.locations import shipped_model_path

    if model is not None:
        return model_data(model, recipe=recipe)
    try:
        shipped = shipped_model_path()
    except FileNotFoundError:
        return gaussian_data(recipe)
    return model_data(shipped, recipe=recipe) if shipped.is_dir() else gaussian_data(recipe)


CYCLE_RECIPES = ("paper", "mse")
"""Recipes for which reports state cycles: accuracy and cycles pull against each other."""


def data_sets(main: DataSet) -> tuple[DataSet, ...]:
    """Data whose cycles per weight vector a report states beside those of its activity.

    The shipped model, every model under `FINEQ_MODELS` and seeded Gaussian rows, by each of `CYCLE_RECIPES`.
    """
    from fineq.models.locations import shipped_model_path

    models = further_models()
    with contextlib.suppress(FileNotFoundError):
        shipped = shipped_model_path()
        models = [shipped, *(model for model in models if model.name != shipped.name)]
    found = [main]
    for recipe in CYCLE_RECIPES:
        found += [model_data(model, recipe=recipe) for model in models] + [gaussian_data(recipe)]
    return tuple({data.source: data for data in found}.values())


def mean_vector_cycles(data: DataSet, columns: int, encoding: str = "unary") -> float:
    """Mean cycles per weight vector over all matrices of a data set, by `fineq.format.temporal`."""
    config = ArrayConfig(columns=columns, encoding=encoding, sign_handling="column")
    total, count = 0, 0
    for matrix in data.matrices:
        cycles = array_cycles(weight_vectors(matrix.codes, config), encoding)
        total, count = total + int(cycles.sum()), count + cycles.size
    return total / count


def make_tiles(
    data: DataSet, config: ArrayConfig | MacConfig, vectors: int, seed: int = 0, lanes: int = LANES
) -> list[Tile]:
    """Tiles for `run_core`: each lane a column range, a run of output channels and a run of tokens.

    All matrices and column ranges are used in turn; channels and tokens start at seeded random places and
    wrap around. Starting sums are what the columns before the tile have accumulated. Columns beyond the end
    of a matrix are zero, as they are in the hardware.
    """
    rng = np.random.default_rng(seed)
    places = [(matrix, start) for matrix in data.matrices for start in range(0, matrix.codes.shape[1], config.columns)]
    order = rng.permutation(len(places))
    chosen = [places[order[lane % len(places)]] for lane in range(lanes)]
    return [_tile(matrix, start, config, vectors, rng) for matrix, start in chosen]


def _tile(matrix: Matrix, start: int, config: ArrayConfig | MacConfig, vectors: int, rng: np.random.Generator) -> Tile:
    weights = matrix.integers[config.weight_bits] if config.signed_weights else matrix.codes
    channels = (rng.integers(len(weights)) + np.arange(vectors)) % len(weights)
    tokens = (rng.integers(len(matrix.activations)) + np.arange(config.rows)) % len(matrix.activations)
    activations = matrix.activations[tokens]
    before = weights[channels, :start].astype(np.int64) @ activations[:, :start].astype(np.int64).T
    lines, line_slice = None, 0
    if isinstance(config, ArrayConfig):
        line_number, line_slice = divmod(start // config.columns, config.line_slices)
        lines = weight_lines(matrix.blocks[channels], matrix.codes.shape[1], config)[:, line_number]
    return Tile(
        weights=tile_inputs(weights[channels], start // config.columns, config),
        activations=tile_inputs(activations, start // config.columns, config),
        partials=before,
        lines=lines,
        line_slice=line_slice,
    )
