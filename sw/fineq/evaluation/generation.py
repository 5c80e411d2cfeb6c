"""What a model says: the greedy continuation of a prompt."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fineq.common.errors import FineqError


def continuation(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, tokens: int) -> str:
    """The prompt and what the model says after it, the most likely token each time.

    Args:
        tokens: at most so many; fewer where the model ends its text, or its context ends.

    Raises:
        FineqError: an empty prompt, or one that fills the model's context.
    """
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if tokenizer.bos_token_id is not None:
        ids = [tokenizer.bos_token_id, *ids]
    if not ids:
        raise FineqError("the prompt is empty: give some words")
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest and len(ids) >= longest:
        raise FineqError(
            f"the prompt has {len(ids)} tokens, all of the model's context of {longest}: give a shorter one"
        )
    start: Tensor = torch.tensor([ids])
    with torch.no_grad():
        output = cast(Any, model).generate(
            start,
            attention_mask=torch.ones_like(start),
            max_new_tokens=min(tokens, longest - len(ids)) if longest else tokens,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
    return cast(str, tokenizer.decode(output[0], skip_special_tokens=True))
