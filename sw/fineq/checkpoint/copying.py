"""Tensors that are copied as they are: no model computes anything with NaN, so it is not copied."""

from __future__ import annotations

import numpy as np
import torch

from fineq.checkpoint.container import DTYPES, Container
from fineq.common.errors import FineqError

LARGEST_MAGNITUDES: dict[torch.dtype, tuple[type[np.unsignedinteger], int]] = {
    torch.float64: (np.uint64, 0x7FF0_0000_0000_0000),
    torch.float32: (np.uint32, 0x7F80_0000),
    torch.float16: (np.uint16, 0x7C00),
    torch.bfloat16: (np.uint16, 0x7F80),
    torch.float8_e5m2: (np.uint8, 0x7C),
    torch.float8_e4m3fn: (np.uint8, 0x7E),
}
"""By type: unsigned integers of its size, and the bits of its largest number, infinity where it has one. What lies
beyond, the sign left out, is NaN. Integers are compared much faster than torch finds NaN in a small piece."""


def check_numbers(piece: memoryview, container: Container, name: str) -> None:
    """Raise if a piece of a tensor holds NaN.

    Args:
        piece: whole elements of the tensor, as they lie in the file.
    """
    dtype = DTYPES[container.tensors[name].dtype]
    if dtype in LARGEST_MAGNITUDES and len(piece):
        kind, largest = LARGEST_MAGNITUDES[dtype]
        bits = np.frombuffer(piece, kind)
        without_sign = kind(2 ** (8 * bits.itemsize - 1) - 1)
        if int((bits & without_sign).max()) > largest:
            raise FineqError(f"{name} holds NaN: the model is damaged, get it again")
