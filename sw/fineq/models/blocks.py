"""Where a model keeps its decoder blocks: found by what holds them, whatever it is called.

Blocks are the elements of an outermost `nn.ModuleList` of the text model. Parts that do not read tokens, such as the
encoder of images, are models of their own with another main input.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fineq.common.errors import FineqError

TEXT_INPUT = "input_ids"


def block_lists(model: PreTrainedModel) -> dict[str, nn.ModuleList]:
    """The lists of decoder blocks by path, in the model's order: mostly one.

    Raises:
        FineqError: there is none.
    """
    found = {path: modules for path, modules in _outermost_lists(model) if any(map(_is_block, modules))}
    if not found:
        raise FineqError(f"{type(model).__name__} has no list of decoder blocks: FineQ cannot tell its layers")
    return found


def decoder_blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Path and list of the decoder blocks; of several lists the one with the most weights.

    Raises:
        FineqError: there is none.
    """
    return max(block_lists(model).items(), key=lambda item: sum(weight.numel() for weight in item[1].parameters()))


def _outermost_lists(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.ModuleList]]:
    for name, child in module.named_children():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(child, nn.ModuleList):
            yield path, child
        elif not (isinstance(child, PreTrainedModel) and child.main_input_name != TEXT_INPUT):
            yield from _outermost_lists(child, path)


def _is_block(module: nn.Module) -> bool:
    """Whether a module is made of parts and holds matrices: a single layer is no block."""
    return any(
        isinstance(part, nn.Linear | Conv1D) or any(weight.ndim == 3 for weight in part.parameters(recurse=False))
        for part in module.modules()
        if part is not module
    )
