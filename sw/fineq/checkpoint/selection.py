"""Which tensors of a model directory are quantized, and why the others are not."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from fineq.checkpoint.layers import PackableWeight
from fineq.checkpoint.names import stacks_rows
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.models.language_model import kept_layers
from fineq.quantizer.defaults import DEFAULT_RECIPE

EXCLUDED, NOT_INCLUDED = "excluded by --exclude", "not in --include"
NOT_ASKED = {
    "embedding": "input embedding: --embeddings packs it",
    "head": "output head: --lm-head packs it",
}
"""Why a layer is kept that only an option quantizes, by place."""

FORMS = ("fineq", "int8")
"""What embedding and head can be stored as: FineQ's blocks, or 8 bits with a scale for each row."""

CONVERTED = "split or reordered by transformers while it is loaded"
VECTOR, OTHER = "norm, bias or other vector", "no linear layer of a block"


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        recipe: name of the recipe.
        include: patterns of tensor names (shell style); only layers that match one are quantized. Empty: all.
        exclude: patterns of tensor names that stay as they are.
        embeddings: quantize the input embedding as well.
        lm_head: quantize the output head as well.
        outside: the form of those two, of `FORMS`.
    """

    recipe: str = DEFAULT_RECIPE
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    embeddings: bool = False
    lm_head: bool = False
    outside: str = FORMS[0]

    @property
    def has_int8(self) -> bool:
        """Whether a tensor outside the blocks is to be stored with 8 bits."""
        return self.outside == "int8" and (self.embeddings or self.lm_head)


def check_outside(options: Options) -> None:
    """Raise unless the form of embedding and head is one, and is wanted of something."""
    if options.outside not in FORMS:
        raise FineqError(f"--outside is {options.outside!r}: choose one of {', '.join(FORMS)}")
    if options.outside != FORMS[0] and not (options.embeddings or options.lm_head):
        raise FineqError(
            f"--outside {options.outside} is the form of what --embeddings and --lm-head quantize: add one of them"
        )


def select(
    source: Source,
    model: PreTrainedModel,
    layers: dict[str, PackableWeight],
    places: dict[str, tuple[str, Any, int]],
    options: Options,
) -> dict[str, str]:
    """Tensors to keep as they are, and why; all others are to be quantized.

    Args:
        layers: what can be quantized, by parameter.
        places: where each tensor of the source goes, see `TensorNames.places`.

    Raises:
        FineqError: a pattern of --include matches no layer, or one of --exclude no tensor at all.
    """
    deciding = kept_layers(model)
    kept, candidates = {}, []
    for tensor, (parameter, converter, _) in places.items():
        layer = layers.get(parameter)
        reason = deciding.get(parameter) or deciding.get(parameter.removesuffix(".weight"))
        if reason and parameter.endswith(".bias"):
            reason = None
        if layer is None:
            kept[tensor] = reason or (VECTOR if len(source.entry(tensor).shape) < 2 else OTHER)
        elif converter is not None and (layer.transposed or not stacks_rows(converter)):
            kept[tensor] = CONVERTED
        elif not is_wanted(layer, options):
            kept[tensor] = NOT_ASKED[layer.place]
        else:
            candidates.append(tensor)
    _check_patterns(options, candidates, list(source.tensors))
    for tensor in candidates:
        if options.include and not _matches(tensor, options.include):
            kept[tensor] = NOT_INCLUDED
        elif _matches(tensor, options.exclude):
            kept[tensor] = EXCLUDED
    return kept


def is_wanted(layer: PackableWeight, options: Options) -> bool:
    """Whether layers in such a place are to be quantized."""
    return {"block": True, "embedding": options.embeddings, "head": options.lm_head}[layer.place]


def _check_patterns(options: Options, candidates: list[str], tensors: list[str]) -> None:
    example = candidates[0] if candidates else "none"
    for patterns, names, what in ((options.include, candidates, "layer"), (options.exclude, tensors, "tensor")):
        for pattern in patterns:
            if not fnmatch.filter(names, pattern):
                raise FineqError(f"the pattern {pattern!r} matches no {what}: layers have names such as {example}")


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
