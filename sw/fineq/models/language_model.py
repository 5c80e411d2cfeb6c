"""The linear layers of a language model: their names, their weights, and what quantization did to them.

FineQ quantizes the linear layers of the decoder blocks; embeddings, norms, routers and the output head stay
(docs/quantizer/model.md lists the supported architectures). A layer is named by its path in the model, for example
`model.layers.0.self_attn.q_proj`; one expert of a fused mixture-of-experts tensor has its number behind it,
for example `model.layers.0.mlp.experts.down_proj.5`. Weights are always [out, in], whatever the model stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from fineq.common.errors import FineqError
from fineq.models.blocks import block_lists
from fineq.models.routers import special_layers

EXPERT_WEIGHTS = ("gate_up_proj", "up_proj", "down_proj")
"""Three-dimensional weights of a fused experts module: [experts, out, in] unless the module is transposed."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


# -- the linear layers -----------------------------------------------------------------------------------------


def block_linears(model: PreTrainedModel) -> list[str]:
    """Names of all linear layers inside the decoder blocks, in the model's order.

    `nn.Linear`, GPT-2's `Conv1D` and fused experts count; routers and gates do not (`fineq.models.routers`).
    """
    kept = kept_layers(model)
    names = []
    for path, module in _block_modules(model).items():
        if isinstance(module, nn.Linear | Conv1D):
            names += [] if path in kept else [path]
        elif is_fused_experts(module):
            stacks = _stacks(module)
            experts = len(module.get_parameter(stacks[0]))
            names += [f"{path}.{weight}.{expert}" for expert in range(experts) for weight in stacks]
    return names


def kept_layers(model: PreTrainedModel) -> dict[str, str]:
    """What looks like a layer of the decoder blocks and stays as it is all the same, by path, and why."""
    modules = _block_modules(model)
    linears: dict[str, nn.Module] = {
        path: module for path, module in modules.items() if isinstance(module, nn.Linear | Conv1D)
    }
    stacks = {
        f"{path}.{name}": f"stack of matrices in a layout that FineQ does not know ({type(module).__name__})"
        for path, module in modules.items()
        if not is_fused_experts(module)
        for name in _stacks(module)
    }
    return special_layers(model, linears) | stacks


def _block_modules(model: PreTrainedModel) -> dict[str, nn.Module]:
    """All modules of the decoder blocks by path."""
    lists = block_lists(model).items()
    return {name: module for path, blocks in lists for name, module in blocks.named_modules(prefix=path)}


def is_fused_experts(module: nn.Module) -> bool:
    """Whether a module holds the matrices of all experts as three-dimensional weights, in the usual layout.

    transformers marks the classes that can multiply expert by expert, with `is_transposed` among other things; only
    those look at one matrix at a time, as packed stacks want it.
    """
    stacks = _stacks(module)
    return bool(stacks) and set(stacks) <= set(EXPERT_WEIGHTS) and hasattr(module, "is_transposed")


def _stacks(module: nn.Module) -> list[str]:
    """Names of the module's own three-dimensional weights; those of convolutions are no stacks of matrices."""
    if isinstance(module, CONVOLUTIONS):
        return []
    return [name for name, weight in module.named_parameters(recurse=False) if weight.ndim == 3]


@dataclass(frozen=True)
class WeightPlace:
    """Where a layer's weight lies: a module, the name of its parameter, the expert (None: not fused)."""

    path: str
    """Name of the parameter in the model."""
    module: nn.Module
    parameter: str
    expert: int | None
    transposed: bool

    def view(self) -> Tensor:
        """The weight as [out, in], sharing memory with the model."""
        weight = getattr(self.module, self.parameter).detach()
        weight = weight if self.expert is None else weight[self.expert]
        return weight.T if self.transposed else weight


def find_weight(model: PreTrainedModel, name: str) -> WeightPlace:
    """Where the weight of a layer lies."""
    fused = re.fullmatch(r"(.+)\.(\w+)\.(\d+)", name)
    modules = dict(model.named_modules())
    if fused and fused[2] in EXPERT_WEIGHTS:
        module = modules.get(fused[1])
        weight = getattr(module, fused[2], None)
        if module is not None and isinstance(weight, nn.Parameter) and weight.ndim == 3 and int(fused[3]) < len(weight):
            path = f"{fused[1]}.{fused[2]}"
            return WeightPlace(path, module, fused[2], int(fused[3]), getattr(module, "is_transposed", False))
    module = modules.get(name)
    if not isinstance(module, nn.Linear | Conv1D):
        raise FineqError(f"the model has no linear layer {name!r}: `block_linears` lists the names")
    return WeightPlace(f"{name}.weight", module, "weight", None, isinstance(module, Conv1D))


def get_weight(model: PreTrainedModel, name: str) -> Tensor:
    """Weight of a layer, [out, in], in the model's dtype, sharing memory with the model."""
    return find_weight(model, name).view()


def set_weight(model: PreTrainedModel, name: str, weight: Tensor) -> None:
    """Replace the weight of a layer by `weight` [out, in], rounded to the model's dtype."""
    place = find_weight(model, name).view()
    if place.shape != weight.shape:
        raise FineqError(f"{name} has shape {list(place.shape)}, not {list(weight.shape)}: give [out, in]")
    with torch.no_grad():
        place.copy_(weight)


# -- replacing all weights -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerReport:
    """What quantization did to one layer."""

    name: str
    shape: tuple[int, int]
    bits_per_weight: float
    """Storage with scales, zero points and padding."""
    normalised_error: float | None
    """Squared error over the squared weights: 0 is exact, 1 is all zero. None: not known."""


def layer_report(name: str, weight: Tensor, dequantized: Tensor, bits: float) -> LayerReport:
    """The report on a layer, from its weight before and after, both [out, in], and its bits per weight."""
    power = weight.double().square().sum().item()
    error = (weight.double() - dequantized.double()).square().sum().item()
    rows, columns = weight.shape
    return LayerReport(name, (rows, columns), bits, error / power if power else float(error > 0))


def fake_quantize_model(
    model: PreTrainedModel,
    quantize: Callable[[Tensor, str], tuple[Tensor, float]],
    names: Iterable[str] | None = None,
) -> list[LayerReport]:
    """Replace the weights of the block linears by what their quantized form stands for, in place.

    Args:
        quantize: called with a float32 weight [out, in] and its name; returns the dequantized weight of the
            same shape and the bits per weight. `fineq.evaluation.methods.find_method` gives one by name.
        names: layers to quantize; None: all of `block_linears`.
    """
    reports = []
    for name in block_linears(model) if names is None else names:
        weight = get_weight(model, name).to(torch.float32, copy=True)
        dequantized, bits = quantize(weight, name)
        set_weight(model, name, dequantized)
        reports.append(layer_report(name, weight, dequantized, bits))
    return reports
