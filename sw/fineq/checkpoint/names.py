"""Where in a model the tensors of its files go, packed or not: transformers' own renaming, and what FineQ adds to it.

transformers keeps, for each model type, patterns that rename and join the tensors of a file while it loads them. A
packed weight is three tensors in the place of one, so the patterns must be taught to bring the three to one module.
This is the one definition of that; both the planner, which proves for every tensor that it arrives, and the loader use
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, dot_natural_key, rename_source_key

from fineq.checkpoint.fileformat import BLOCKS, MARKER, SCALES
from fineq.common.errors import FineqError

PARTS = (BLOCKS, SCALES, MARKER)


class TensorNames:
    """Translates tensor names of files into parameter names of a model, the way that `from_pretrained` does.

    Args:
        model: with or without memory for its weights.
        conversions: transformers' transforms of names; None: those of the model.
        state: names of the parameters and buffers; None: those of the model.
    """

    def __init__(
        self, model: PreTrainedModel, conversions: list[Any] | None = None, state: Iterable[str] | None = None
    ):
        conversions = get_model_conversion_mapping(model) if conversions is None else conversions
        self._renamings = [entry for entry in conversions if isinstance(entry, WeightRenaming)]
        self._converters = [entry for entry in conversions if isinstance(entry, WeightConverter)]
        self._prefix = model.base_model_prefix
        self._state = dict.fromkeys(model.state_dict() if state is None else state, True)

    def parameter(self, tensor: str) -> tuple[str, WeightConverter | None, int]:
        """Where a tensor goes: the parameter; if it is only a part of that, transformers' converter, and which of
        the converter's sources the tensor is.
        """
        renamed, pattern = rename_source_key(tensor, self._renamings, self._converters, self._prefix, self._state)
        if renamed not in self._state and tensor in self._state:
            return tensor, None, 0
        if pattern is None:
            return renamed, None, 0
        converter = next(entry for entry in self._converters if pattern in entry.source_patterns)
        return renamed, converter, converter.source_patterns.index(pattern)

    def places(self, tensors: Iterable[str]) -> dict[str, tuple[str, WeightConverter | None, int]]:
        """`parameter` for each of many, in transformers' order: some of its transforms remember what they have seen."""
        return {tensor: self.parameter(tensor) for tensor in sorted(tensors, key=dot_natural_key)}


def stacks_rows(converter: WeightConverter) -> bool:
    """Whether a converter only stacks experts and joins their rows, which works on packed matrices as well."""
    operations = [(type(entry).__name__, getattr(entry, "dim", None)) for entry in converter.operations]
    return operations in ([("MergeModulelist", 0)], [("MergeModulelist", 0), ("Concatenate", 1)])


def packed_conversions(conversions: list[Any], stacks: dict[str, int]) -> list[Any]:
    """Transformers' transforms of names, taught to do with packed tensors what they do with plain ones.

    Experts that lie apart in the files are stacked part by part. Of experts that lie there as one stack, the marker has
    the stack's own name, which in the model is the name of the module.

    Args:
        stacks: packed stacks of experts by their path in the model: how many tensors of the files are joined in one
            matrix (gate and up: 2); 0: the files have the stack as one tensor.
    """
    updated: list[Any] = []
    for entry in conversions:
        target = entry._original_target_patterns[0]
        suffix = entry.target_patterns[0]  # the pattern as it is put into names, without escapes
        is_packed = any(name.endswith(suffix) for name, sources in stacks.items() if sources)
        if isinstance(entry, WeightConverter) and stacks_rows(entry) and is_packed:
            bases = [source.removesuffix(f".{MARKER}") for source in entry._original_source_patterns]
            for part in PARTS:
                names = [f"{base}.{part}" for base in bases]
                updated.append(entry.copy(names, [f"{target}.{part}"], operations=list(entry.operations)))
        else:
            updated.append(entry)
    for tail in sorted({".".join(name.split(".")[-2:]) for name, sources in stacks.items() if not sources}):
        escaped = re.escape(f".{tail}")  # transformers reads the target as a pattern too, when it saves the model
        updated.append(WeightRenaming(rf"{escaped}(?![.\w])", rf"{escaped}\.{MARKER}"))
    return updated


def check_arrival(model: PreTrainedModel, packed: dict[str, tuple[str, list[str]]], stacks: dict[str, int]) -> None:
    """Prove that every packed tensor will reach its module when the checkpoint is loaded.

    Args:
        model: the full-precision model.
        packed: by name in the file, without the parts: the parameter that it stands for, and its parts in the file in
            the order of `PackedEntry.parts`.
        stacks: see `packed_conversions`.

    Raises:
        FineqError: transformers would leave a tensor behind, and with it a layer without weights.
    """
    modules = {parameter: parameter.removesuffix(f".{MARKER}") for parameter, _ in packed.values()}
    state = [name for name in model.state_dict() if name not in modules]
    state += [f"{modules[parameter]}.{part}" for parameter, tensors in packed.values() for part in _parts(tensors)]
    names = TensorNames(model, packed_conversions(get_model_conversion_mapping(model), stacks), state)
    arrived = names.places(tensor for _, tensors in packed.values() for tensor in tensors)
    for name, (parameter, tensors) in packed.items():
        for part, tensor in zip(_parts(tensors), tensors, strict=True):
            if arrived[tensor][0] != f"{modules[parameter]}.{part}":
                raise FineqError(
                    f"{name} cannot be packed: transformers {metadata.version('transformers')} renames the tensors of "
                    f"{type(model).__name__} in a way that loses {tensor}; --exclude {name!r}"
                )


def _parts(tensors: list[str]) -> list[str]:
    """What the model calls the parts: the last part of their names, but of the marker, the last, always `MARKER`."""
    return [tensor.rpartition(".")[2] for tensor in tensors[:-1]] + [MARKER]
