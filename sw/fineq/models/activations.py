"""The inputs of linear layers while a model runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from fineq.models.language_model import WeightPlace, find_weight, get_weight


@contextmanager
def watch_activations(
    model: PreTrainedModel, names: Iterable[str], observer: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Inside, whatever runs the model or a part of it hands the inputs of layers to `observer`, call by call.

    Args:
        names: layers to watch, as in `block_linears`. An expert sees the tokens routed to it, perhaps none.
        observer: called with the name and the inputs [tokens, in] in the model's dtype.
    """
    by_module: dict[nn.Module, list[tuple[str, WeightPlace]]] = defaultdict(list)
    for name in names:
        place = find_weight(model, name)
        by_module[place.module].append((name, place))

    def watch(module: nn.Module, arguments: tuple, keywords: dict) -> None:
        arguments = (*arguments, *keywords.values())
        for name, place in by_module[module]:
            inputs = arguments[0].detach()
            if place.expert is not None:
                inputs = _expert_inputs(module, place, inputs, arguments[1])
            observer(name, inputs.reshape(-1, inputs.shape[-1]))

    handles = [module.register_forward_pre_hook(watch, with_kwargs=True) for module in by_module]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def observe_activations(
    model: PreTrainedModel,
    token_ids: Tensor,
    names: Iterable[str],
    observer: Callable[[str, Tensor], None],
) -> None:
    """Run the model and hand the inputs of layers to `observer`, call by call, so that nothing piles up.

    Args:
        token_ids: int64 [windows, length]; each window runs on its own.
        names, observer: see `watch_activations`.
    """
    with watch_activations(model, names, observer), torch.no_grad():
        for window in torch.atleast_2d(token_ids):
            model(input_ids=window[None], use_cache=False)


def _expert_inputs(module: nn.Module, place: WeightPlace, hidden: Tensor, routed: Tensor) -> Tensor:
    """Inputs of one expert's weight: hidden [tokens, width], routed int64 [tokens, experts per token]."""
    assert place.expert is not None
    inputs = hidden[(routed == place.expert).any(dim=-1)]
    if place.parameter != "down_proj":
        return inputs
    first = "gate_up_proj" if module.has_gate else "up_proj"
    inner = inputs @ WeightPlace("", module, first, place.expert, place.transposed).view().T
    bias = getattr(module, f"{first}_bias", None)
    inner = inner if bias is None else inner + bias[place.expert]
    activation = cast(Callable[[Tensor], Tensor], module._apply_gate if module.has_gate else module.act_fn)
    return activation(inner)


def capture_activations(model: PreTrainedModel, token_ids: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """The real inputs of layers: float32 [tokens, in] for each name, in the order of the tokens."""
    names = list(names)
    captured: dict[str, list[Tensor]] = {name: [] for name in names}
    observe_activations(model, token_ids, names, lambda name, inputs: captured[name].append(inputs.float()))
    return {
        name: torch.cat(parts) if parts else torch.empty(0, get_weight(model, name).shape[1])
        for name, parts in captured.items()
    }
