"""Measures what quantizing did to a model: its loss on a short text, before and after (`checkpoint.loss_check`).

The cost is bounded: two loads and two forward passes of at most `TOKENS` tokens, with one model in memory at a time.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fineq.checkpoint.container import DTYPES
from fineq.checkpoint.loss_check import SURPRISE, LossCheck
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.common.memory import available_memory
from fineq.common.progress import Progress
from fineq.evaluation.perplexity import Text, perplexity, tokenize
from fineq.huggingface.loading import load_model, load_tokenizer

WINDOW = 256
"""Tokens that the model sees at once, BOS included."""

TOKENS = 2 * WINDOW
"""Tokens of text that a small model sees."""

MULTIPLICATIONS = 4e10
"""About as many a pass takes: a large model sees less text, but at least `FEWEST_TOKENS`."""

FEWEST_TOKENS = 128

MEMORY_SHARE = 0.5
"""Of the memory that is free, what a model may take."""


def check_loss(source: Source, quantized: Path, text: Text, progress: Progress | None = None) -> LossCheck:
    """Compare a model with its quantized copy on the beginning of a text.

    Args:
        source: the model.
        quantized: directory of the copy: weights, config.json and tokenizer.
        progress: called with what is being done, how much of it is done, and how much it is in all.

    Returns:
        The outcome; never raises for a model that cannot be run: it says why.
    """
    parameters = sum(source.entry(name).elements for name in source.tensors)
    try:
        dtype = _dtype_that_fits(source, parameters)
        tokenizer = _tokenizer(source.directory)
        ids, bos, length, windows = _windows(source, tokenizer, text, parameters)
    except FineqError as error:
        return LossCheck(problem=str(error))
    losses: list[float] = []
    for number, (directory, what) in enumerate(((source.directory, "original"), (quantized, "quantized model"))):
        if progress:
            progress(f"check of the {what}", number, 2)
        try:
            loss, scored = _loss(directory, dtype, ids, bos, length, windows)
        except Exception as error:  # whatever a model's own code raises: the check must not cost the user the result
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if number == 0:
                return LossCheck(problem=f"the original cannot be run: {reason}")
            return LossCheck(losses[0], math.inf, scored, text.name, reason)
        if number == 0 and not loss < SURPRISE * math.log(len(tokenizer)):
            return LossCheck(
                problem=f"the original itself cannot foretell {text.name} ({loss:.2f} nats a token): give a text of "
                "its kind with --text"
            )
        losses.append(loss)
    if progress:
        progress("check of the quantized model", 2, 2)
    return LossCheck(losses[0], losses[1], scored, text.name)


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


def _loss(
    directory: Path, dtype: torch.dtype, ids: Tensor, bos: int | None, length: int, windows: int
) -> tuple[float, int]:
    model = load_model(directory, dtype)
    result = perplexity(model, ids, length, "none" if bos is None else "window", bos, max_windows=windows)
    return result.nll, result.scored_tokens
