"""Test vectors of the block format, for anyone who writes another encoder or decoder.

The committed copy is sw/fineq/data/format_vectors.json; it is frozen. A test makes it again and compares.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import numpy as np

from fineq import format as block_format

_ROW_LENGTHS = (1, 3, 4, 6, 7, 23, 24, 25, 48, 100)


def load_format_vectors() -> dict[str, Any]:
    """The frozen vectors.

    `clusters`: every index code with every 6-bit payload: the weights, and the positions stored as minus zero
    (empty: a strict decoder accepts it). `rows`: packed rows, bytes as hexadecimal text, first byte first.
    """
    return json.loads(files("fineq").joinpath("data/format_vectors.json").read_text())


def make_format_vectors() -> dict[str, Any]:
    """The same, made from the code."""
    clusters = []
    for index_code in range(block_format.INDEX_CODES):
        for payload in range(2**block_format.CLUSTER_PAYLOAD_BITS):
            weights, minus_zeros = block_format.decode_cluster(index_code, payload)
            clusters.append(
                {"index": index_code, "payload": payload, "weights": list(weights), "minus_zeros": list(minus_zeros)}
            )
    return {
        "format_version": 1,
        "clusters": clusters,
        "rows": [_row(length) for length in _ROW_LENGTHS],
    }


def format_vectors_text() -> str:
    """Exact text of the committed file: one line per cluster and per row."""
    vectors = make_format_vectors()
    lines = [f'{{"format_version": {vectors["format_version"]},']
    for name in ("clusters", "rows"):
        entries = ",\n".join(json.dumps(entry) for entry in vectors[name])
        lines.append(f'"{name}": [\n{entries}\n]' + ("," if name == "clusters" else "}"))
    return "\n".join(lines) + "\n"


def _row(length: int) -> dict[str, Any]:
    """A row of weights that walks through all index codes and all values they allow."""
    pairs = block_format.pairs_per_row(length)
    index = [(pair + length) % block_format.INDEX_CODES for pair in range(pairs)]
    weights = []
    for position in range(length):
        code = index[position // block_format.PAIR_WEIGHTS]
        limit = block_format.MAX_NORMAL if code == block_format.INDEX_ALL_NORMAL else block_format.MAX_MAGNITUDE
        is_zeroed = code != block_format.INDEX_ALL_NORMAL and position % block_format.CLUSTER_WEIGHTS == code - 1
        weights.append(0 if is_zeroed else (5 * position + position // 7 + length) % (2 * limit + 1) - limit)
    blocks = block_format.pack(np.array([weights], np.int8), np.array([index], np.uint8))
    return {"weights": weights, "index": index, "bytes": blocks[0].tobytes().hex()}
