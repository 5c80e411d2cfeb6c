"""Packed weights as operators of PyTorch: `torch.ops.fineq`, so that compile, export, autograd and autocast know them.

`decoding` and `product` do the work on tensors, `library` registers it. `packed_linear` is the one function that
multiplies by packed weights.
"""

from fineq.operators.decoding import decode
from fineq.operators.library import ACTIVATIONS, packed_linear, unpack

__all__ = ["ACTIVATIONS", "decode", "packed_linear", "unpack"]
