"""A quantized layer whose scales, and codes if wanted, are trained.

The product is taken with the codes, which are small integers and exact in bfloat16; the scales multiply the outputs.
So the gradient of a scale is a sum over the outputs, and without training of codes no gradient of a weight is needed.

Trained codes have latent values, in units of a code, which the forward pass sees rounded to the format; the backward
pass takes the rounding for the identity (straight-through estimator, arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from fineq.calibrated.training import choose_codes
from fineq.format import MAX_MAGNITUDE, PAIR_WEIGHTS
from fineq.quantizer.arithmetic import SMALLEST_SCALE
from fineq.quantizer.packed import PackedWeight

CELL = 0.45
"""How far from its code a latent value may start: what error feedback decided stays until a gradient speaks."""

LARGEST_LATENT = MAX_MAGNITUDE + 0.45
"""Latent values that go further would only have to come back."""

CHUNK_VALUES = 1 << 17
"""Latent values that are rounded at once: they stay in the processor's cache."""


class TunedLayer:
    """One linear layer in training.

    Args:
        module: `nn.Linear` or `Conv1D`, whose weight is not used any more.
        packed: where training starts.
        weight: what was quantized, float [rows, K]; None: codes stay as they are.
        dtype: in which products are taken.

    Attributes:
        growth: logarithm of the scales over their first values, [rows]; a leaf.
        latent: float32 [rows, K], a leaf, if codes are trained; its `grad` is added to by the backward pass.
    """

    def __init__(self, module: nn.Module, packed: PackedWeight, weight: Tensor | None, dtype: torch.dtype):
        self.module, self._packed, self._dtype = module, packed, dtype
        self.growth = torch.zeros(packed.shape[0]).requires_grad_()
        self.latent: Tensor | None = None
        self._codes: Tensor | None = None
        if weight is not None:
            codes = packed.codes().float()
            scales = packed.scales.clamp_min(SMALLEST_SCALE)[:, None]
            self.latent = (weight.float() / scales).clamp(codes - CELL, codes + CELL).requires_grad_()
            self._codes = codes.to(dtype)

    def scale(self) -> Tensor:
        """Scales, float32 [rows], differentiable."""
        return self._packed.scales * self.growth.exp()

    def codes(self) -> Tensor:
        """The codes of this step in the products' dtype, [rows, K]."""
        return self._packed.codes().to(self._dtype) if self._codes is None else self._codes

    def keep_codes(self) -> None:
        """Unpack the codes once and for all: faster, and two or four bytes a weight."""
        self._codes = self.codes()

    def forward(self, inputs: Tensor) -> Tensor:
        """In the place of the module's own: [..., K] to float32 [..., rows]."""
        outputs = _Product.apply(inputs.reshape(-1, inputs.shape[-1]), self.scale(), self)
        bias = cast(Tensor | None, self.module.bias)
        outputs = outputs.view(*inputs.shape[:-1], -1)
        return outputs if bias is None else outputs + bias

    def after_step(self) -> None:
        """Round the latent values that the optimizer has moved."""
        if self.latent is None or self._codes is None:
            return
        with torch.no_grad():
            self.latent.clamp_(-LARGEST_LATENT, LARGEST_LATENT)
            rows = max(1, CHUNK_VALUES // self.latent.shape[1])
            for codes, latent in zip(self._codes.split(rows), self.latent.split(rows), strict=True):
                round_moved(codes, latent)

    def finish(self, recipe: str) -> PackedWeight:
        """What the layer has become."""
        scales = self.scale().detach()
        if self.latent is None:
            return PackedWeight(self._packed.blocks, scales, self._packed.shape, recipe=recipe)
        codes, index = choose_codes(self.latent.detach())
        return PackedWeight.from_codes(codes.to(torch.int8), scales, index.to(torch.uint8), recipe=recipe)


def round_moved(codes: Tensor, latent: Tensor) -> None:
    """Bring codes [rows, K] up to date with latent values that have moved, in place: what `choose_codes` gives.

    A pair whose latent values all round to its codes is right as it is, and most are: only the others are decided.
    """
    moved = latent.round() != codes
    columns = moved.shape[1]
    if columns % PAIR_WEIGHTS:
        moved = nn.functional.pad(moved, (0, -columns % PAIR_WEIGHTS))
    rows, pairs = moved.view(len(moved), -1, PAIR_WEIGHTS).any(dim=-1).nonzero(as_tuple=True)
    if not len(rows):
        return
    places = pairs[:, None] * PAIR_WEIGHTS + torch.arange(PAIR_WEIGHTS)
    inside = places < columns
    places, lines = places.clamp_max(columns - 1), rows[:, None].expand_as(places)
    found, _ = choose_codes(torch.where(inside, latent[lines, places], 0.0))
    codes[lines[inside], places[inside]] = found[inside].to(codes.dtype)


class _Product(torch.autograd.Function):
    """inputs [tokens, K] times codes, times a scale per row: float32 [tokens, rows]."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, scale: Tensor, layer: TunedLayer) -> Tensor:
        codes = layer.codes()
        narrow = inputs.to(codes.dtype)
        raw = narrow @ codes.T
        ctx.layer = layer
        ctx.save_for_backward(scale, codes, raw, *([] if layer.latent is None else [narrow]))
        return raw.float() * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        scale, codes, raw, *narrow = ctx.saved_tensors
        of_scale = (gradient * raw).sum(dim=0)
        scaled = (gradient * scale).to(codes.dtype)
        latent = ctx.layer.latent
        if latent is not None:
            of_codes = (scaled.T @ narrow[0]).float()
            latent.grad = of_codes if latent.grad is None else latent.grad.add_(of_codes)
        return (scaled @ codes).float(), of_scale, None
