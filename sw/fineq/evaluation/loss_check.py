"""Measures what quantizing did to a model: its loss on a short text, before and after (`checkpoint.loss_check`).

The cost is bounded: two loads and two forward passes of at most `TOKENS` tokens, with one model in memory at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fineq.checkpoint.calibration import wanted_layers
from fineq.checkpoint.container import DTYPES
from fineq.checkpoint.loss_check import SURPRISE, LossCheck
from fineq.checkpoint.planning import CheckpointPlan
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.common.memory import available_memory
from fineq.common.progress import Progress
from fineq.evaluation.perplexity import Text, perplexity, tokenize
from fineq.evaluation.recipe_methods import recipe_method
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.language_model import fake_quantize_model

WINDOW = 256
"""Tokens that the model sees at once, BOS included."""

TOKENS = 2 * WINDOW
"""Tokens of text that a small model sees."""

MULTIPLICATIONS = 4e10
"""About as many a pass takes: a large model sees less text, but at least `FEWEST_TOKENS`."""

FEWEST_TOKENS = 128

MEMORY_SHARE = 0.5
"""Of the memory that is free, what a model may take."""


def check_loss(
    source: Source, quantized: Path, text: Text, progress: Progress | None = None, before: LossCheck | None = None
) -> LossCheck:
    """Compare a model with its quantized copy on the beginning of a text.

    Args:
        source: the model.
        quantized: directory of the copy: weights, config.json and tokenizer.
        progress: called with what is being done, how much of it is done, and how much it is in all.
        before: a check of the same model on the same text, whose loss of the original is taken over.

    Returns:
        The outcome; never raises for a model that cannot be run: it says why.
    """

    def copy(originals: list[PreTrainedModel], dtype: torch.dtype) -> PreTrainedModel:
        originals.clear()
        return load_model(quantized, dtype)

    return _compare(source, text, copy, progress, before.before if before else None)


def try_recipe(
    source: Source, plan: CheckpointPlan, recipe: str, text: Text, progress: Progress | None = None
) -> LossCheck:
    """What a data-free recipe would do to a model, found without writing anything: it is quantized in memory.

    Args:
        plan: what of the model is to be quantized.
        recipe, text, progress: see `check_loss`.
    """

    method = recipe_method(recipe).quantize
    assert method is not None  # it is data-free

    def quantize(originals: list[PreTrainedModel], dtype: torch.dtype) -> PreTrainedModel:
        model = originals.pop()
        try:
            fake_quantize_model(model, method, wanted_layers(model, source, plan))
        except Exception as error:  # weights that are no numbers, for example: says nothing about the recipe
            raise _NotMeasured(f"it cannot be quantized in memory: {_reason(error)}") from error
        return model

    return _compare(source, text, quantize, progress)


class _NotMeasured(Exception):
    """There is no quantized model whose loss would say something."""


def _compare(
    source: Source,
    text: Text,
    quantized: Callable[[list[PreTrainedModel], torch.dtype], PreTrainedModel],
    progress: Progress | None,
    before: float | None = None,
) -> LossCheck:
    """The loss of a model, and of what `quantized` makes of it: called with the model alone in a list, if it is there,
    which it empties, so that there is only one of the two in memory."""
    parameters = sum(source.entry(name).elements for name in source.tensors)
    try:
        dtype = _dtype_that_fits(source, parameters)
        tokenizer = _tokenizer(source.directory)
        ids, bos, length, windows = _windows(source, tokenizer, text, parameters)
    except FineqError as error:
        return LossCheck(problem=str(error))
    scored, originals = 0, []
    if before is None:
        if progress:
            progress("check of the original", 0, 2)
        try:
            originals.append(load_model(source.directory, dtype))
            before, scored = _loss(originals[0], ids, bos, length, windows)
        except Exception as error:  # whatever a model's own code raises: the check must not cost the user the result
            return LossCheck(problem=f"the original cannot be run: {_reason(error)}")
        if not before < SURPRISE * math.log(len(tokenizer)):
            return LossCheck(
                problem=f"the original itself cannot foretell {text.name} ({before:.2f} nats per token): give a text "
                "of its kind with --text"
            )
    if progress:
        progress("check of the quantized model", 1, 2)
    try:
        after, scored = _loss(quantized(originals, dtype), ids, bos, length, windows)
    except _NotMeasured as error:
        return LossCheck(problem=str(error))
    except Exception as error:
        return LossCheck(before, math.inf, scored, text.name, _reason(error))
    if progress:
        progress("check of the quantized model", 2, 2)
    return LossCheck(before, after, scored, text.name)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _dtype_that_fits(source: Source, parameters: int) -> torch.dtype:
    """float32, or the type that the weights are stored in where memory is short."""
    free = available_memory()
    stored = max({source.entry(name).dtype for name in source.tensors}, key=lambda name: DTYPES[name].itemsize)
    choices = [torch.float32] + [DTYPES[stored]] * (DTYPES[stored] in (torch.bfloat16, torch.float16))
    for dtype in choices:
        if free is None or parameters * dtype.itemsize <= MEMORY_SHARE * free:
            return dtype
    raise FineqError(
        f"it takes {parameters * choices[-1].itemsize / 1e9:.1f} GB of memory, more than half of the "
        f"{(free or 0) / 1e9:.1f} GB that are free"
    )


def _tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    try:
        return load_tokenizer(directory)
    except Exception as error:  # tokenizers of others fail in many ways
        raise FineqError("there is no tokenizer that can be loaded beside the model") from error


def _windows(
    source: Source, tokenizer: PreTrainedTokenizerBase, text: Text, parameters: int
) -> tuple[Tensor, int | None, int, int]:
    """Token ids, BOS, tokens in a window, and number of windows."""
    bos = tokenizer.bos_token_id
    lead = int(bos is not None)
    ids = tokenize(tokenizer, text.content)
    longest = source.config.get("max_position_embeddings")
    bound = int(max(FEWEST_TOKENS, min(TOKENS, MULTIPLICATIONS / parameters)))
    length = min(WINDOW, bound, longest if isinstance(longest, int) and longest > 1 else WINDOW, len(ids) + lead)
    if length < min(FEWEST_TOKENS, longest or FEWEST_TOKENS):
        raise FineqError(f"{text.name} has {len(ids)} tokens: give a text of at least {FEWEST_TOKENS} with --text")
    windows = max(1, min(bound // length, len(ids) // (length - lead)))
    return ids, bos, length, windows


def _loss(model: PreTrainedModel, ids: Tensor, bos: int | None, length: int, windows: int) -> tuple[float, int]:
    result = perplexity(model, ids, length, "none" if bos is None else "window", bos, max_windows=windows)
    return result.nll, result.scored_tokens
