"""The format's clusters and lines, read off their definition (docs/quantizer/format.md)."""

from __future__ import annotations

from collections.abc import Sequence

from fineq.format import BLOCK_BYTES


def decode_cluster(index: int, payload: int) -> list[tuple[int, int]]:
    """(magnitude, sign) of the three weights of a cluster with this index code and these six payload bits."""
    if index == 0:
        return [(payload >> 2 * j & 1, payload >> 2 * j + 1 & 1) for j in range(3)]
    survivors = [(payload & 3, payload >> 2 & 1), (payload >> 3 & 3, payload >> 5 & 1)]
    survivors.insert(index - 1, (0, 0))
    return survivors


def decode_line(line: Sequence[int]) -> list[tuple[int, int]]:
    """(magnitude, sign) of all weights in the bytes of whole blocks."""
    weights = []
    for start in range(0, len(line), BLOCK_BYTES):
        index_byte, *payload_bytes = line[start : start + BLOCK_BYTES]
        payload = int.from_bytes(bytes(payload_bytes), "little")
        for cluster in range(8):
            weights += decode_cluster(index_byte >> cluster // 2 * 2 & 3, payload >> 6 * cluster & 63)
    return weights
