"""Train the quantized weights themselves: block by block, or the whole model against its full-precision self.

Every linear layer has latent weights, in units of its codes, and one scale per row. The forward pass sees the
latent weights rounded to the format (best index code per pair, as recipe `mse` chooses it); the backward pass
treats the rounding as the identity (straight-through estimator, arXiv 1308.3432), and gives the scale the
gradient of a learned step size (arXiv 1902.08153). What comes out are codes and scales of the same format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import kl_div, log_softmax
from transformers import PreTrainedModel

from fineq.calibrated.capture import BlockRunner
from fineq.calibrated.pairs import magnitude_limits
from fineq.common.errors import FineqError
from fineq.format import MAX_MAGNITUDE, PAIR_WEIGHTS
from fineq.models.language_model import find_weight, set_weight
from fineq.quantizer.packed import PackedWeight


@dataclass(frozen=True)
class TrainingOptions:
    """Switches of one training run.

    Attributes:
        steps: optimizer steps; 0: no training.
        batch: calibration windows per step.
        code_rate: learning rate of latent weights, in code units.
        scale_rate: learning rate of the scales, relative.
        other_rate: learning rate of norms and biases; 0: they stay as they are.
        seed: of the order of the windows.
    """

    steps: int = 0
    batch: int = 2
    code_rate: float = 0.03
    scale_rate: float = 0.002
    other_rate: float = 0.002
    seed: int = 0


class TrainableWeights:
    """Latent weights and scales of some layers of a model, with the norms and biases beside them.

    Args:
        model: the model.
        packed: where training starts.
        others: names of parameters of the model that are trained as they are.
    """

    def __init__(self, model: PreTrainedModel, packed: dict[str, PackedWeight], others: Iterable[str] = ()):
        self.model, self.packed = model, packed
        view = find_weight(model, next(iter(packed))).view()  # the rest of the model may have no memory
        device, self._dtype = view.device, view.dtype
        self.latent = {name: layer.codes().to(device, torch.float32).requires_grad_() for name, layer in packed.items()}
        self.first_scale = {name: layer.scales.to(device) for name, layer in packed.items()}
        self.growth = {name: torch.zeros_like(scale).requires_grad_() for name, scale in self.first_scale.items()}
        parameters = dict(model.named_parameters())
        self.others = {name: parameters[name].detach().float().clone().requires_grad_() for name in others}

    def groups(self, options: TrainingOptions) -> list[dict]:
        """Parameter groups for an optimizer."""
        groups = [
            {"params": list(self.latent.values()), "lr": options.code_rate},
            {"params": list(self.growth.values()), "lr": options.scale_rate},
        ]
        return groups + ([{"params": list(self.others.values()), "lr": options.other_rate}] if self.others else [])

    def scale(self, name: str) -> Tensor:
        """Scales of a layer, float32 [rows]."""
        return self.first_scale[name] * self.growth[name].exp()

    def tensors(self) -> dict[str, Tensor]:
        """Parameters of the model by name, as the format would hold them, differentiable."""
        places: dict[str, list[tuple[int | None, Tensor]]] = {}
        for name, latent in self.latent.items():
            place = find_weight(self.model, name)
            value = fake_quantize(latent, self.scale(name), self.first_scale[name])
            value = (value.T if place.transposed else value).to(self._dtype)
            places.setdefault(place.path, []).append((place.expert, value))
        quantized = {
            path: parts[0][1] if parts[0][0] is None else torch.stack([value for _, value in sorted(parts)])
            for path, parts in places.items()
        }
        return quantized | {name: value.to(self._dtype) for name, value in self.others.items()}

    def finish(self) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
        """Packed weights and the other trained parameters; the model is set to both."""
        packed = {}
        parameters = dict(self.model.named_parameters())
        for name, latent in self.latent.items():
            scale = self.scale(name).detach()
            codes, index = choose_codes(latent.detach() * (self.first_scale[name] / scale)[:, None])
            packed[name] = PackedWeight.from_codes(
                codes.to(torch.int8), scale, index.to(torch.uint8), recipe=self.packed[name].recipe
            )
            set_weight(self.model, name, packed[name].dequantize())
        with torch.no_grad():
            for name, value in self.others.items():
                parameters[name].copy_(value)
        return packed, {name: parameters[name].detach().clone() for name in self.others}


def choose_codes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rounded codes [rows, K] and best index codes [rows, pairs] of weights in code units, float32."""
    rows, columns = x.shape
    pairs = nn.functional.pad(x, (0, -columns % PAIR_WEIGHTS)).view(rows, -1, PAIR_WEIGHTS)
    limits = magnitude_limits(x.device).to(x.dtype)
    rounded = pairs.round()
    losses = torch.stack([(pairs - rounded.clamp(-limit, limit)).square().sum(dim=-1) for limit in limits.unbind()])
    index = losses.argmin(dim=0)
    limit = limits[index]
    return rounded.clamp(-limit, limit).view(rows, -1)[:, :columns], index


def fake_quantize(latent: Tensor, scale: Tensor, unit: Tensor) -> Tensor:
    """Quantized weights [rows, K] with straight-through gradients to `latent` (in units of `unit`) and `scale`."""
    with torch.no_grad():
        x = latent * (unit / scale)[:, None]
        codes, _ = choose_codes(x)
        inside = x.abs() <= MAX_MAGNITUDE + 0.5
        value = codes * scale[:, None]
        slope = torch.where(inside, codes - x, codes)
    moving = torch.where(inside, (latent - latent.detach()) * unit[:, None], 0.0)
    return value + moving + (scale - scale.detach())[:, None] * slope


def train(
    weights: TrainableWeights,
    options: TrainingOptions,
    windows: int,
    loss_of: Callable[[dict[str, Tensor], Tensor], Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """AdamW over batches of calibration windows, warm-up and cosine.

    Args:
        windows: how many there are.
        loss_of: loss for parameter tensors and the numbers of the windows of a batch.

    Raises:
        FineqError: the loss is not a number.
    """
    optimizer = torch.optim.AdamW(weights.groups(options), betas=(0.9, 0.95), weight_decay=0.0)
    rates = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(options.seed)
    waiting: list[Tensor] = []
    for step in range(options.steps):
        if not waiting:
            waiting = list(torch.randperm(windows, generator=generator).split(min(options.batch, windows)))
        factor = min(1.0, (step + 1) / 20) * (0.51 + 0.49 * math.cos(math.pi * step / options.steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        loss = loss_of(weights.tensors(), waiting.pop(0))
        if not torch.isfinite(loss):
            raise FineqError(f"training met a loss of {loss.item()} at step {step}: use a recipe without training")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if progress:
            progress(step + 1, options.steps)
    return weights.finish()


def small_parameters(model: PreTrainedModel, prefix: str) -> list[str]:
    """Norms and biases below `prefix`: parameters of one dimension."""
    return [name for name, value in model.named_parameters() if name.startswith(prefix) and value.ndim == 1]


def reconstruct_block(
    runner: BlockRunner,
    number: int,
    packed: dict[str, PackedWeight],
    hidden: Tensor,
    wanted: Tensor,
    options: TrainingOptions,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Train one block's packed layers so that it turns `hidden` into `wanted`, both [windows, length, width]."""
    prefix = runner.names[number] + "."
    others = small_parameters(runner.model, prefix) if options.other_rate else []
    weights = TrainableWeights(runner.model, packed, others)
    power = wanted.float().square().mean()

    def loss_of(tensors: dict[str, Tensor], batch: Tensor) -> Tensor:
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
        arguments, keywords = runner.others[number].for_windows(len(batch))
        result = functional_call(runner.blocks[number], tensors, (hidden[batch], *arguments), keywords)
        result = result[0] if isinstance(result, tuple) else result
        return (result.float() - wanted[batch].float()).square().mean() / power

    return train(weights, options, len(hidden), loss_of, progress)


def distill(
    model: PreTrainedModel,
    teacher: PreTrainedModel,
    packed: dict[str, PackedWeight],
    windows: Tensor,
    options: TrainingOptions,
    others: list[str],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Train all packed layers so that the model predicts what the full-precision `teacher` predicts."""
    weights = TrainableWeights(model, packed, others if options.other_rate else [])

    def loss_of(tensors: dict[str, Tensor], batch: Tensor) -> Tensor:
        tokens = windows[batch].to(model.device)
        with torch.no_grad():
            expected = log_softmax(teacher(input_ids=tokens, use_cache=False).logits.float(), dim=-1)
        predicted = functional_call(model, tensors, kwargs={"input_ids": tokens, "use_cache": False}).logits
        predicted = log_softmax(predicted.float(), dim=-1)
        return kl_div(predicted.flatten(0, 1), expected.flatten(0, 1), reduction="batchmean", log_target=True)

    return train(weights, options, len(windows), loss_of, progress)
