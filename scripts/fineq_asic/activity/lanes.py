"""Words of 64 bits that hold one bit of 64 independent runs each."""

from __future__ import annotations

import numpy as np

LANES = 64
"""Independent runs, one per bit of a word."""

ALL_LANES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


def pack_lanes(bits: np.ndarray) -> np.ndarray:
    """Bits by run to words: bool or 0/1 array [64, width] to uint64 [width], bit l of a word from row l."""
    if bits.shape[0] != LANES:
        raise ValueError(f"need {LANES} rows, got {bits.shape[0]}")
    packed = np.packbits(np.ascontiguousarray(bits.T).astype(np.uint8), axis=1, bitorder="little")
    return packed.view("<u8").reshape(-1)


def unpack_lanes(words: np.ndarray) -> np.ndarray:
    """Words to bits by run: uint64 [width] to uint8 [64, width]."""
    octets = np.ascontiguousarray(words).astype("<u8").view(np.uint8).reshape(len(words), 8)
    return np.unpackbits(octets, axis=1, bitorder="little").T
