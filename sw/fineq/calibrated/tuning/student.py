"""The quantized model in training: its blocks with tuned layers, and the norms and biases beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from transformers import PreTrainedModel

from fineq.calibrated.capture import BlockRunner
from fineq.calibrated.options import TuningOptions
from fineq.calibrated.tuning.layer import TunedLayer
from fineq.common.errors import FineqError
from fineq.models.language_model import block_linears, find_weight
from fineq.quantizer.packed import PackedWeight

WARM_UP, LAST_RATE = 0.1, 0.02
"""Share of the steps in which the rates rise, and the share of the rates that is left at the end of the cosine."""


class SmallParameter:
    """A norm's weight or a bias: its first value, plus a part that is trained, in units of its own size."""

    def __init__(self, value: Tensor):
        self._first = value.detach().float().clone()
        size = self._first.square().mean().sqrt().item()
        self._unit = size if size > 0 else 1.0
        self.moved = torch.zeros_like(self._first).requires_grad_()

    def value(self) -> Tensor:
        """Differentiable, float32."""
        return self._first + self._unit * self.moved


class Student:
    """The model in training.

    Args:
        runner: of the model, which may have no memory for its blocks.
        packed: where training starts, by layer name.
        read: a parameter of the full-precision model by name, float32.
        originals: the weights [rows, K] that were quantized, by layer name; used if codes are trained.
        options: what is trained.
        dtype: in which products with codes are taken.
    """

    def __init__(
        self,
        runner: BlockRunner,
        packed: Mapping[str, PackedWeight],
        read: Callable[[str], Tensor],
        originals: Callable[[str], Tensor],
        options: TuningOptions,
        dtype: torch.dtype,
    ):
        self.runner, self.options = runner, options
        model = runner.model
        self.layers: dict[str, TunedLayer] = {}
        self.small: dict[str, SmallParameter] = {}
        self._fixed: dict[str, Tensor] = {}
        places = {name: find_weight(model, name) for name in packed}
        for name, place in places.items():
            weight = originals(name) if options.code_reach else None
            self.layers[name] = TunedLayer(place.module, packed[name], weight, dtype)
        quantized = {place.path for place in places.values()}
        blocks = tuple(f"{name}." for name in runner.names)
        for name, value in model.named_parameters():
            if name in quantized:
                continue
            if value.ndim == 1 and options.other_rate:
                self.small[name] = SmallParameter(read(name))
            elif name.startswith(blocks):
                self._fixed[name] = read(name)

    def block_layers(self, number: int) -> list[TunedLayer]:
        """The tuned layers of a block."""
        prefix = self.runner.names[number] + "."
        return [layer for name, layer in self.layers.items() if name.startswith(prefix)]

    def run(self, number: int, hidden: Tensor) -> Tensor:
        """Hidden states behind a block, with gradients to all that is trained."""
        return first_of(self.output(number, hidden))

    def output(self, number: int, hidden: Tensor) -> Any:
        """All that a block puts out."""
        prefix = self.runner.names[number] + "."
        values = {name: value for name, value in self._fixed.items() if name.startswith(prefix)}
        values |= {name: small.value() for name, small in self.small.items() if name.startswith(prefix)}
        values = {name.removeprefix(prefix): value for name, value in values.items()}
        arguments, keywords = self.runner.others[number].for_windows(len(hidden))
        return functional_call(self.runner.blocks[number], values, (hidden, *arguments), keywords)

    def outside(self) -> dict[str, Tensor]:
        """Trained parameters outside the blocks, differentiable."""
        blocks = tuple(f"{name}." for name in self.runner.names)
        return {name: small.value() for name, small in self.small.items() if not name.startswith(blocks)}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the layers of the model are the tuned ones."""
        for layer in self.layers.values():
            layer.module.forward = layer.forward
        try:
            yield
        finally:
            for layer in self.layers.values():
                del layer.module.forward

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer, with their rates."""
        options = self.options
        latent = [layer.latent for layer in self.layers.values() if layer.latent is not None]
        groups = [
            {"params": [layer.growth for layer in self.layers.values()], "lr": options.scale_rate},
            {"params": [small.moved for small in self.small.values()], "lr": options.other_rate},
            {"params": latent, "lr": options.code_reach / sum(rate_factors(options.steps))},
        ]
        return [group for group in groups if group["params"]]

    def trained(self) -> dict[str, Tensor]:
        """All leaves by name, in the order of `groups`."""
        layers = self.layers.items()
        leaves = {f"growth.{name}": layer.growth for name, layer in layers}
        leaves |= {f"moved.{name}": small.moved for name, small in self.small.items()}
        return leaves | {f"latent.{name}": layer.latent for name, layer in layers if layer.latent is not None}

    def after_step(self) -> None:
        """To be called when the optimizer, or a saved state, has changed the leaves."""
        for layer in self.layers.values():
            layer.after_step()

    def finish(self, recipe: str) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
        """Packed weights by layer name, and the other parameters that changed."""
        packed = {name: layer.finish(recipe) for name, layer in self.layers.items()}
        return packed, {name: small.value().detach() for name, small in self.small.items()}


def rate_factor(step: int, steps: int) -> float:
    """Of the rates at a step: a linear rise, then a cosine."""
    rise = min(1.0, (step + 1) / max(1.0, WARM_UP * steps))
    return rise * (LAST_RATE + (1 - LAST_RATE) * (0.5 + 0.5 * math.cos(math.pi * step / steps)))


def rate_factors(steps: int) -> list[float]:
    """Of all steps."""
    return [rate_factor(step, steps) for step in range(steps)]


def check_tunable(model: PreTrainedModel, wanted: Collection[str] | None = None) -> None:
    """Raise if the model is not in float32, or a layer that is wanted (None: any) lies in a stack of experts."""
    if model.dtype != torch.float32:
        kind = str(model.dtype).removeprefix("torch.")
        raise FineqError(f"tuning computes in float32 and the model is in {kind}: load it in float32")
    for name in block_linears(model) if wanted is None else wanted:
        place = find_weight(model, name)
        if place.expert is not None:
            raise FineqError(f"{place.path} is a stack of experts, which tuning cannot train: choose recipe calibrated")


def first_of(output: Any) -> Tensor:
    """The hidden states of what a block puts out."""
    return output[0] if isinstance(output, tuple) else output
