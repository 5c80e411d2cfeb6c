"""Tiny configurations of any model type: the sizes become small, the kinds of parts stay.

transformers has no tiny model of each type, so one is found by trying: candidates from small to less small are built
without memory until one has all the parts that a model with the type's own defaults has.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from fineq_reports.model_types.settings import SETTINGS

HIDDEN, HEADS, HEAD, INNER, VOCABULARY, EXPERTS, POSITIONS = 64, 4, 16, 96, 99, 4, 128

SIZES: dict[str, int] = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS // 2,
    "head_dim": HEAD,
    "max_position_embeddings": POSITIONS,
}
"""What transformers calls the sizes of every model; a config that has other names for them maps them itself."""

MORE_SIZES: dict[str, int] = {
    **dict.fromkeys(["d_model", "n_embd", "word_embed_proj_dim", "embedding_size", "lru_width", "dim"], HIDDEN),
    **dict.fromkeys(["d_ff", "ffn_dim", "n_inner", "encoder_ffn_dim", "decoder_ffn_dim", "d_inner"], INNER),
    **dict.fromkeys(["n_head", "n_heads", "encoder_attention_heads", "decoder_attention_heads"], HEADS),
    **dict.fromkeys(["d_kv", "d_head", "attention_head_size", "global_head_dim", "swa_head_dim", "kv_channels"], HEAD),
    **dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"], EXPERTS),
    **dict.fromkeys(["num_experts_per_tok", "moe_topk", "top_k_experts", "moe_k", "num_experts_per_token"], 2),
    **dict.fromkeys(["n_group", "topk_group", "n_groups", "mamba_n_groups", "first_k_dense_replace"], 1),
    **dict.fromkeys(["moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"], 48),
    **dict.fromkeys(["q_lora_rank", "kv_lora_rank", "o_lora_rank"], 32),
    **dict.fromkeys(["qk_nope_head_dim", "v_head_dim", "index_head_dim"], HEAD),
    **dict.fromkeys(["qk_rope_head_dim"], 8),
    **dict.fromkeys(["index_n_heads"], HEADS),
    **dict.fromkeys(["linear_num_key_heads", "linear_num_value_heads", "num_linear_heads"], HEADS),
    **dict.fromkeys(["linear_key_head_dim", "linear_value_head_dim"], HEAD),
    **dict.fromkeys(["mamba_d_state", "state_size", "mamba_d_state", "ssm_state_size"], 16),
    **dict.fromkeys(["num_global_key_value_heads", "swa_num_key_value_heads", "num_mem_heads"], HEADS // 2),
    **dict.fromkeys(["vocab_size_per_layer_input"], VOCABULARY),
    **dict.fromkeys(["hidden_size_per_layer_input"], 32),
    **dict.fromkeys(["sliding_window", "attention_window", "window_size", "attention_chunk_size"], 32),
    **dict.fromkeys(["mamba_n_heads", "mamba_num_heads", "num_heads"], 8),
    **dict.fromkeys(["mamba_d_head", "mamba_head_dim"], HEAD),
    **dict.fromkeys(["chunk_size", "mamba_chunk_size"], 16),
    **dict.fromkeys(["image_size", "input_size"], 32),
    **dict.fromkeys(["patch_size"], 16),
}
"""Sizes that only some types have."""

BOTH = (4, 2, 3, 6, 8, 12)
"""Numbers of layers that are tried."""

LARGE = 200
"""Another whole number from here on is a size that has to shrink as the width does."""

TOKENS = 20

MOST_PARAMETERS = 8_000_000


@dataclass(frozen=True)
class Tiny:
    """A tiny configuration.

    Attributes:
        config: of the type.
        lacks: classes of parts that a model with the type's defaults has and this one has not.
    """

    config: PreTrainedConfig
    lacks: tuple[str, ...]


class NotTiny(Exception):
    """No candidate can be built; the text says why."""


def find_tiny(model_type: str) -> Tiny:
    """The tiny configuration with the most kinds of parts.

    Raises:
        NotTiny: transformers builds none of the candidates.
    """
    default = _default_parts(CONFIG_MAPPING[model_type])
    best: Tiny | None = None
    reason = "no candidate"
    for config in candidates(model_type):
        try:
            model = without_memory(config)
            few = sum(weight.numel() for weight in model.parameters()) <= MOST_PARAMETERS
            if few:
                run(AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval())
        except Exception as error:
            reason = one_line(error)
            continue
        if not few:
            reason = f"more than {MOST_PARAMETERS:,} weights remain"
            continue
        lacks = tuple(sorted(default - _parts_of(model)))
        if best is None or len(lacks) < len(best.lacks):
            best = Tiny(config, lacks)
        if not lacks:
            break
    if best is None:
        raise NotTiny(reason)
    return best


def candidates(model_type: str) -> Iterator[PreTrainedConfig]:
    """Configurations to try, the likely ones first.

    Raises:
        NotTiny: the type's own config refuses every one.
    """
    refusal, is_one_made = None, False
    for heads in (HEADS // 2, HEADS):
        for layers in BOTH:
            try:
                yield _small(CONFIG_MAPPING[model_type], layers, heads)
                is_one_made = True
            except Exception as error:  # a combination that the config itself refuses
                refusal = error
    if refusal and not is_one_made:
        raise NotTiny(one_line(refusal))


def without_memory(config: PreTrainedConfig) -> PreTrainedModel:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(copy.deepcopy(config))


def run(model: PreTrainedModel) -> torch.Tensor:
    """Logits [2, TOKENS, vocabulary] of a text."""
    ids = torch.arange(3, 3 + 2 * TOKENS).view(2, TOKENS)
    with torch.no_grad():
        return model(input_ids=ids).logits


def one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


def _default_parts(kind: type[PreTrainedConfig]) -> set[str]:
    try:
        return _parts_of(without_memory(kind()))
    except Exception:  # defaults that build no model: then nothing is asked of the tiny one
        return set()


def _parts_of(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def _small(
    kind: type[PreTrainedConfig], layers: int, key_value_heads: int, given: dict[str, Any] | None = None
) -> PreTrainedConfig:
    """The defaults of a type with small sizes, and what is given."""
    given = SETTINGS.get(kind.model_type, {}) | (given or {})
    try:
        defaults = kind()
    except Exception:  # its defaults contradict each other
        defaults = kind(**given)
    values = {name: value for name, value in vars(defaults).items() if not name.startswith("_")}
    aliases = {alias: name for name, alias in getattr(kind, "attribute_map", {}).items()}
    width = _whole(getattr(defaults, "hidden_size", None)) or 1024
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        size = _size(aliases.get(name, name), name, value, layers, key_value_heads, width)
        if size is not None:
            arguments[name] = size
    for name, value in values.items():
        if isinstance(value, PreTrainedConfig):
            arguments[name] = _small(type(value), layers, key_value_heads, given.get(name))
    accepted = inspect.signature(kind).parameters
    arguments = {name: value for name, value in arguments.items() if name in accepted}
    plain = {name: value for name, value in given.items() if not isinstance(arguments.get(name), PreTrainedConfig)}
    return kind(**arguments | plain)


def _size(standard: str, name: str, value: Any, layers: int, key_value_heads: int, width: int) -> Any:
    """The small value of a setting; None: it stays."""
    number = _whole(value)
    if number is None:
        return None
    if standard in ("num_hidden_layers",) or name in ("n_layer", "num_layers", "n_layers", "decoder_layers"):
        return layers
    if name in ("encoder_layers",):
        return 2
    if standard in ("num_key_value_heads",) and number > 1:
        return key_value_heads
    for table, key in ((SIZES, standard), (MORE_SIZES, name)):
        if key in table:
            return min(number, table[key]) if number > 0 else None
    if name.endswith(("_token_id", "_token_index", "_index", "_id")):
        return min(number, 5) if number > 5 else None
    if number >= LARGE:
        return max(8, math.ceil(number * HIDDEN / width / 8) * 8)
    return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
