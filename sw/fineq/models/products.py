"""Whether a module does with its weight what a packed layer will do.

Models derive classes from `nn.Linear` and `nn.Embedding` that do more: a product in groups, a scale behind the lookup.
A packed layer would leave that out without a word. So a class with a `forward` of its own is tried on random values.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

_plain: dict[tuple, bool] = {}
"""What was tried, by class and sizes."""


def is_plain_product(module: nn.Module) -> bool:
    """Whether a linear layer gives the product of its inputs with its weight, plus its bias, and nothing else."""
    if type(module).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    return _is_plain(module, is_lookup=False)


def is_plain_lookup(module: nn.Module) -> bool:
    """Whether an embedding gives rows of its weight as they are."""
    if type(module).forward is nn.Embedding.forward and getattr(module, "max_norm", None) is None:
        return True
    return _is_plain(module, is_lookup=True)


def _is_plain(module: nn.Module, is_lookup: bool) -> bool:
    weight, bias = module.get_parameter("weight"), getattr(module, "bias", None)
    key = (type(module), tuple(weight.shape), bias is None, is_lookup)
    if key not in _plain:
        random = torch.Generator().manual_seed(0)
        values = torch.randn(weight.shape, generator=random, device="cpu")
        shift = None if bias is None else torch.randn(bias.shape, generator=random, device="cpu")
        if is_lookup:
            inputs = torch.randint(0, len(values), (2, 3), generator=random, device="cpu")
            expected = functional.embedding(inputs, values)
        else:
            inputs = torch.randn(2, 3, values.shape[-1], generator=random, device="cpu")
            expected = functional.linear(inputs, values, shift)
        _plain[key] = _gives(_with_values(module, values, shift), inputs, expected)
    return _plain[key]


def _with_values(module: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """The same module with other values, in memory; the module itself is not touched."""
    changed = copy.copy(module)
    changed._parameters = dict(module._parameters) | {"weight": nn.Parameter(weight)}
    if bias is not None:
        changed._parameters["bias"] = nn.Parameter(bias)
    return changed


def _gives(module: nn.Module, inputs: Tensor, expected: Tensor) -> bool:
    try:
        with torch.no_grad():
            found = type(module).forward(module, inputs)
    except Exception:  # it wants inputs of another kind
        return False
    is_same_kind = isinstance(found, Tensor) and found.shape == expected.shape
    return is_same_kind and torch.allclose(found.float(), expected, rtol=1e-4, atol=1e-4)
