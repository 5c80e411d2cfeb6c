"""Whether a config.json still belongs to the weights beside it: whether it lets the model compute the same.

The weight files repeat the config.json that they were written with. A config that was edited or saved anew may differ
from it and mean the same, so both are compared as transformers understands them, with its defaults filled in, and only
in what changes the arithmetic.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fineq.checkpoint.container import SPECIAL_FLOAT

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FREE_FIELDS = re.compile(
    r"_name_or_path|architectures|dtype|torch_dtype|transformers_version|use_cache|max_position_embeddings"
    r"|\w*_token_ids?|\w*_token_index|\w*dropout\w*|\w*pdrop|\w*initializer\w*|_\w+"
)
"""Fields that change no weight's part in a forward pass: names, types, generation, training, the longest context."""

ARITHMETIC_OF_ALL = ("tie_word_embeddings", "is_decoder", "is_encoder_decoder", "add_cross_attention")
"""Of the fields that every model has, those that do: the others are for outputs and heads."""

ROPE_FIELDS = ("rope_theta", "partial_rotary_factor")
"""Of the settings of the rotary positions, what belongs to the trained weights; the rest (YaRN, ...) extends them."""


def first_difference(expected: dict[str, Any], actual: dict[str, Any]) -> tuple[str, Any, Any] | None:
    """The first field that changes the arithmetic and differs, with both values (as they stand, or the default).

    Args:
        expected: what the weights were written with.
        actual: config.json.
    """
    if expected.get("model_type") != actual.get("model_type"):
        return "model_type", expected.get("model_type"), actual.get("model_type")
    settings = expected.get("quantization_config"), actual.get("quantization_config")
    if settings[0] != settings[1]:
        return "quantization_config", *settings
    try:
        one, other, known = _settings(expected), _settings(actual), _known_fields(expected)
    except Exception:  # a model type or a value that transformers does not take: then the texts must be equal
        one, other, known = expected, actual, expected.keys() | actual.keys()
    for field in sorted((one.keys() | other.keys()) & (known | expected.keys())):
        if one.get(field) != other.get(field) and field != "quantization_config":
            return field, one.get(field), other.get(field)
    return None


def understood(config: dict[str, Any]) -> PreTrainedConfig:
    """A config.json as transformers understands it, numbers that JSON lacks (`SPECIAL_FLOAT`) among them."""
    from transformers import CONFIG_MAPPING

    text = json.dumps({name: value for name, value in config.items() if name != "quantization_config"})
    plain = json.loads(text, object_hook=lambda value: float(value[SPECIAL_FLOAT]) if _is_special(value) else value)
    return CONFIG_MAPPING[config["model_type"]].from_dict(plain)


def _is_special(value: dict[str, Any]) -> bool:
    return value.keys() == {SPECIAL_FLOAT} and value[SPECIAL_FLOAT] in ("Infinity", "-Infinity", "NaN")


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """All settings of a model, with transformers' defaults, that change the arithmetic."""
    return _arithmetic(understood(config).to_dict())


def _known_fields(config: dict[str, Any]) -> set[str]:
    """Settings that the model type has; others are notes that nothing reads."""
    from transformers import CONFIG_MAPPING

    return set(CONFIG_MAPPING[config["model_type"]]().to_dict())


def _arithmetic(fields: dict[str, Any]) -> dict[str, Any]:
    from transformers import PreTrainedConfig

    of_all = PreTrainedConfig().to_dict().keys() - set(ARITHMETIC_OF_ALL)
    kept = {}
    for name, value in fields.items():
        if name in of_all or FREE_FIELDS.fullmatch(name):
            continue
        if name in ("rope_parameters", "rope_scaling"):
            value = {field: value.get(field) for field in ROPE_FIELDS} if isinstance(value, dict) else None
        elif isinstance(value, dict):
            value = _arithmetic(value)
        kept[name] = value
    return json.loads(json.dumps(kept, sort_keys=True, default=str))
