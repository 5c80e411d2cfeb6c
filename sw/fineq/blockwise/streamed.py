"""A model whose blocks come from its files one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.core_model_loading import dot_natural_key

from fineq.calibrated.capture import BlockRunner
from fineq.checkpoint.container import DTYPES
from fineq.checkpoint.layers import skeleton
from fineq.checkpoint.names import TensorNames, stacks_rows
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.models.blocks import decoder_blocks
from fineq.models.language_model import block_linears


class StreamedModel:
    """A model that has memory only for what has been loaded.

    Args:
        source: the model's files, complete for its architecture (`fineq.checkpoint.planning.make_plan` checks it).

    Raises:
        FineqError: transformers does not know the model, or splits or reorders tensors of a block while it loads them.
    """

    def __init__(self, source: Source):
        self.source = source
        self.model = _without_weights(source.config)
        prefix, self.blocks = decoder_blocks(self.model)
        self._prefixes = [f"{prefix}.{number}." for number in range(len(self.blocks))]
        self._tensors: dict[str, list[tuple[str, int]]] = {}  # by parameter: tensors of the files and their part of it
        for tensor, (parameter, converter, part) in TensorNames(self.model).places(source.tensors).items():
            if parameter.startswith(tuple(self._prefixes)) and converter is not None and not stacks_rows(converter):
                raise FineqError(
                    f"transformers splits or reorders {tensor} while it loads {type(self.model).__name__}: its blocks "
                    "cannot be loaded one at a time"
                )
            self._tensors.setdefault(parameter, []).append((tensor, part if converter is not None else -1))
        with self.outside():
            block_linears(self.model)  # what decides in the model shows only where there is memory

    def prefix(self, number: int) -> str:
        """What the names of a block's parameters and layers begin with."""
        return self._prefixes[number]

    def is_outside(self, name: str) -> bool:
        """Whether a parameter belongs to no block."""
        return not name.startswith(tuple(self._prefixes))

    @contextmanager
    def outside(self, with_head: bool = False) -> Iterator[None]:
        """Inside, everything but the blocks, and but the output head unless it is wanted, has its weights."""
        head = self.model.get_output_embeddings()
        is_skipped = isinstance(head, nn.Module) and not with_head
        skipped = {id(value) for value in head.parameters()} if is_skipped else set()
        embedding = self.model.get_input_embeddings()
        skipped -= {id(value) for value in embedding.parameters()}
        names = [
            name for name, value in self.model.named_parameters() if self.is_outside(name) and id(value) not in skipped
        ]
        tied = self._tied_to(names) if with_head else {}
        try:
            self._load(names)
            for name, original in tied.items():
                self._set(name, self.model.get_parameter(original))
            yield
        finally:
            self._release([*names, *tied])

    @contextmanager
    def block(self, number: int) -> Iterator[None]:
        """Inside, a block has its weights, in float32."""
        prefix = self._prefixes[number]
        names = [name for name, _ in self.model.named_parameters() if name.startswith(prefix)]
        try:
            self._load(names)
            self.load_buffers(prefix)
            yield
        finally:
            self._release(names)

    def start(self, windows: Tensor) -> tuple[BlockRunner, Tensor]:
        """The runner, and the hidden states that enter the first block: [windows, length, width]."""
        with self.outside(), self.block(0), self._first_block_for_all():
            return BlockRunner.start(self.model, windows)

    @contextmanager
    def _first_block_for_all(self) -> Iterator[None]:
        """Inside, the other blocks put out what the first one does: only what they are called with is wanted."""
        seen: list[Any] = []

        def keep(module: nn.Module, arguments: Any, output: Any) -> None:
            seen[:] = [output]

        handle = self.blocks[0].register_forward_hook(keep)
        others = list(self.blocks)[1:]
        for block in others:
            block.forward = lambda *arguments, **keywords: seen[0]
        try:
            yield
        finally:
            handle.remove()
            for block in others:
                del block.forward

    def _load(self, names: list[str]) -> None:
        for name in names:
            self._set(name, nn.Parameter(self.read(name), requires_grad=False))

    def _set(self, name: str, value: nn.Parameter) -> None:
        path, _, parameter = name.rpartition(".")
        self.model.get_submodule(path)._parameters[parameter] = value

    def _tied_to(self, names: list[str]) -> dict[str, str]:
        """Further names of parameters: what each is the same as."""
        found: dict[str, str] = {}
        for copy, original in self.model.all_tied_weights_keys.items():
            if (copy in names) != (original in names):
                found |= {original: copy} if copy in names else {copy: original}
        return found

    def load_buffers(self, prefix: str) -> None:
        """Buffers that the files hold, of the modules below `prefix`; they stay."""
        for name, buffer in self.model.named_buffers():
            if name.startswith(prefix) and name in self._tensors:
                tensor, _ = self._tensors[name][0]
                buffer.copy_(self.source.tensors[tensor].read(tensor).view(buffer.shape))

    def _release(self, names: list[str]) -> None:
        for name in names:
            path, _, parameter = name.rpartition(".")
            value = self.model.get_submodule(path)._parameters[parameter]
            if value is not None:
                self._set(name, nn.Parameter(value.to("meta"), requires_grad=False))

    def read(self, name: str) -> Tensor:
        """A parameter, float32; experts that lie apart in the files are stacked and joined as transformers does it."""
        tensors = self._tensors.get(name) or self._tensors[self._twin(name)]
        parts: dict[int, list[str]] = {}
        for tensor, part in tensors:
            parts.setdefault(part, []).append(tensor)
        if list(parts) == [-1]:
            return self._values(parts[-1][0])
        stacks = [
            torch.stack([self._values(tensor) for tensor in sorted(parts[part], key=dot_natural_key)])
            for part in sorted(parts)
        ]
        return torch.cat(stacks, dim=1) if len(stacks) > 1 else stacks[0]

    def _values(self, tensor: str) -> Tensor:
        entry = self.source.entry(tensor)
        values = self.source.tensors[tensor].read(tensor).view(entry.shape)
        return values.to(torch.float32) if DTYPES[entry.dtype].is_floating_point else values

    def _twin(self, name: str) -> str:
        """The parameter whose tensor a tied one shares."""
        for copy, original in self.model.all_tied_weights_keys.items():
            if name in (copy, original):
                return original if name == copy else copy
        raise FineqError(f"{name} is in none of the weight files of {self.source.directory}: they are incomplete")


def _without_weights(config: dict[str, Any]) -> PreTrainedModel:
    """As `skeleton`, but buffers, which no file holds, have their values."""
    skeleton(config)  # says in a sentence what is wrong with the config
    register = nn.Module.register_parameter

    def register_on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, None if param is None else nn.Parameter(param.to("meta"), requires_grad=False))

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign, assignment]
    try:
        settings = CONFIG_MAPPING[config["model_type"]].from_dict(config)
        return AutoModelForCausalLM.from_config(settings, dtype=torch.float32).eval()
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
