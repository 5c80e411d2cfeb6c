"""`torch.ops.fineq`: the operators, their shapes for tracing, their gradients, and what autocast does with them.

They are registered when this module is imported. A traced program that uses them needs the import too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fineq.common.errors import FineqError
from fineq.operators.decoding import decode
from fineq.operators.product import integer_product, product, transposed_product

ACTIVATIONS = ("float", "int8")
"""What a packed product does with its inputs: takes them as they are, or makes them integers with a scale a token."""

LIBRARY = torch.library.Library("fineq", "DEF")

SCHEMAS = {
    "unpack": "(Tensor blocks, Tensor scales, int length) -> Tensor",
    "linear": "(Tensor x, Tensor blocks, Tensor scales, int rows, int columns, str axis) -> Tensor",
    "linear_transposed": "(Tensor x, Tensor blocks, Tensor scales, int rows, int columns, str axis) -> Tensor",
    "linear_int8": "(Tensor x, Tensor blocks, Tensor scales, int columns) -> Tensor",
}


def packed_linear(
    x: Tensor, blocks: Tensor, scales: Tensor, shape: tuple[int, int], axis: str = "row", activation: str = "float"
) -> Tensor:
    """x times the transposed packed matrix. All multiplications with packed weights go through here.

    Args:
        x: floating point, [..., K].
        blocks, scales: uint8 and float32 as in `PackedWeight`.
        shape: (rows, K) of the matrix.
        axis: `row` or `column`.
        activation: of `ACTIVATIONS`. `int8`: what the hardware computes, see `integer_product`; needs axis `row`.

    Returns:
        [..., rows] in the type of x. The weights are code * scale in float32, rounded to the type of x. Gradients flow
        to x alone, with `int8` as if the activations had not been rounded.
    """
    plain = is_plain(x)
    if activation == "int8":
        return (integer_product if plain else torch.ops.fineq.linear_int8)(x, blocks, scales, shape[1])
    return (product if plain else torch.ops.fineq.linear)(x, blocks, scales, *shape, axis)


def is_plain(x: Tensor) -> bool:
    """Whether nothing but numbers on the CPU is asked for, so that an operator need not be looked up.

    That takes longer than a small product. Whoever traces, wraps or differentiates needs it.
    """
    return (
        not torch.compiler.is_compiling()  # asked first: a compiler follows the rest no further
        and type(x) is Tensor
        and x.is_cpu
        and not (x.requires_grad and torch.is_grad_enabled())
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._get_tracing_state() is None
    )


def unpack(blocks: Tensor, scales: Tensor, length: int) -> Tensor:
    """As `fineq.operators.decode`, as an operator."""
    return torch.ops.fineq.unpack(blocks, scales, length)


def check_activation(activation: str, axis: str = "row") -> str:
    """The switch, if a product can work so.

    Raises:
        FineqError: there is no such one, or it does not go with the axis.
    """
    if activation not in ACTIVATIONS:
        raise FineqError(f"activation is {activation!r}: choose one of {', '.join(ACTIVATIONS)}")
    if activation == "int8" and axis != "row":
        raise FineqError(
            "activation 'int8' needs weights that are packed row-wise, which have one scale for each output: take a "
            "recipe with axis=row"
        )
    return activation


# -- what they compute ------------------------------------------------------------------------------------------


def _define(name: str, function: Any, fake: Any) -> None:
    LIBRARY.define(f"{name}{SCHEMAS[name]}", tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"fineq::{name}", fake, lib=LIBRARY)


def _fake_unpack(blocks: Tensor, scales: Tensor, length: int) -> Tensor:
    return scales.new_empty(blocks.shape[0], length, dtype=torch.float32)


def _fake_linear(x: Tensor, blocks: Tensor, scales: Tensor, rows: int, columns: int, axis: str) -> Tensor:
    return x.new_empty(*x.shape[:-1], rows)


def _fake_transposed(x: Tensor, blocks: Tensor, scales: Tensor, rows: int, columns: int, axis: str) -> Tensor:
    return x.new_empty(*x.shape[:-1], columns)


def _fake_int8(x: Tensor, blocks: Tensor, scales: Tensor, columns: int) -> Tensor:
    return x.new_empty(*x.shape[:-1], blocks.shape[0])


_define("unpack", decode, _fake_unpack)
_define("linear", product, _fake_linear)
_define("linear_transposed", transposed_product, _fake_transposed)
_define("linear_int8", integer_product, _fake_int8)

# -- gradients: the products are linear in x ---------------------------------------------------------------------


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, blocks, scales, *settings = inputs
    ctx.save_for_backward(blocks, scales)
    ctx.settings = settings


def _linear_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x = torch.ops.fineq.linear_transposed(gradient, *ctx.saved_tensors, *ctx.settings)
    return x, None, None, None, None, None


def _transposed_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x = torch.ops.fineq.linear(gradient, *ctx.saved_tensors, *ctx.settings)
    return x, None, None, None, None, None


def _int8_gradient(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    blocks, scales = ctx.saved_tensors
    x = torch.ops.fineq.linear_transposed(gradient, blocks, scales, blocks.shape[0], *ctx.settings, "row")
    return x, None, None, None


for _name, _gradient in (
    ("linear", _linear_gradient),
    ("linear_transposed", _transposed_gradient),
    ("linear_int8", _int8_gradient),
):
    torch.library.register_autograd(f"fineq::{_name}", _gradient, setup_context=_keep, lib=LIBRARY)

# -- autocast: the activations alone take its type, as those of a linear layer do; scales are part of the format ------


def _autocast(name: str, device: str, key: str) -> None:
    operator = getattr(torch.ops.fineq, name).default

    def cast(x: Tensor, *others: Any) -> Tensor:
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return operator(x if x.dtype == torch.float64 else x.to(dtype), *others)

    LIBRARY.impl(name, cast, key)


for _name in ("linear", "linear_int8"):
    _autocast(_name, "cpu", "AutocastCPU")
    _autocast(_name, "cuda", "AutocastCUDA")
