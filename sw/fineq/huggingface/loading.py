"""Loads models and tokenizers from local directories, ordinary models and packed ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from fineq.common.errors import FineqError
from fineq.huggingface.linear import set_activation
from fineq.models.directory import check_model_directory


def load_model(path: Path, dtype: torch.dtype = torch.float32, activation: str = "float") -> PreTrainedModel:
    """Load a causal language model from a local directory, in evaluation mode on the CPU.

    Args:
        activation: what packed linear layers do with their inputs (`fineq.operators.ACTIVATIONS`).

    Raises:
        FineqError: see `check_model_directory`; also an architecture that transformers does not know,
            weights that are absent (transformers alone would fill them with random numbers), and an activation that
            is not `float` where no layer is packed, or that does not go with the recipe.
    """
    check_model_directory(path)
    had_progress_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, local_files_only=True, output_loading_info=True
        )  # transformers declares a model alone, and gives a pair when it is asked for the loading info
        model, info = loaded
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise FineqError(f"transformers cannot load {path}: {first_line}") from error
    finally:
        if had_progress_bar:
            logging.enable_progress_bar()
    absent = sorted(info["missing_keys"])
    if absent:
        raise FineqError(f"the weight files of {path} lack {absent[0]} (and {len(absent) - 1} more): they do not match")
    if activation != "float" and not set_activation(model, activation):
        raise FineqError(
            f"{path} has no packed linear layer, so nothing can take {activation} activations: quantize it with "
            "`fineq quantize` first"
        )
    return model.eval()


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a local model directory."""
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise FineqError(f"cannot load the tokenizer of {path}: {first_line}") from error
