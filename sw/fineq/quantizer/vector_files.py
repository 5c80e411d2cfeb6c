"""Golden vectors as arrays of C: for firmware and for testbenches in C."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

C_HEADER = "vectors.h"

_LINE = 16
"""Numbers of a line."""


def c_header(sizes: Mapping[str, int], arrays: Mapping[str, np.ndarray]) -> str:
    """Text of a header with constants `FINEQ_VECTORS_<SIZE>` and arrays `fineq_vectors_<name>`.

    Args:
        sizes: numbers by name.
        arrays: integers as they are; floats as the bits of their IEEE 754 format, uint32_t.
    """
    lines = ["/* FineQ: golden vectors, made by `fineq vectors --c-arrays` (docs/quantizer/format.md). */"]
    lines += ["#ifndef FINEQ_VECTORS_H", "#define FINEQ_VECTORS_H", "", "#include <stdint.h>", ""]
    lines += [f"#define FINEQ_VECTORS_{name.upper()} {value}u" for name, value in sizes.items()]
    for name, array in arrays.items():
        lines += c_array(f"fineq_vectors_{name}", array)
    return "\n".join([*lines, "", "#endif", ""])


def c_array(name: str, array: np.ndarray) -> Iterator[str]:
    """Lines that define a constant array; the shape is in a comment, the array is flat."""
    shape = " x ".join(map(str, array.shape))
    values = np.ascontiguousarray(array)
    if values.dtype.kind == "f":
        values = values.view(f"u{values.dtype.itemsize}")
    kind = "int" if values.dtype.kind == "i" else "uint"
    bits = 8 * values.dtype.itemsize
    numbers = [_literal(int(value), bits, kind) for value in values.reshape(-1)]
    yield ""
    yield f"/* {shape} of {array.dtype.name}{', as bits' if array.dtype.kind == 'f' else ''} */"
    yield f"static const {kind}{bits}_t {name}[{len(numbers)}] = {{"
    for start in range(0, len(numbers), _LINE):
        yield "    " + ", ".join(numbers[start : start + _LINE]) + ","
    yield "};"


def _literal(value: int, bits: int, kind: str) -> str:
    """A constant that its type holds without a warning: the least int32 is no literal of C."""
    if kind == "uint":
        return f"{value}u"
    least = -(1 << (bits - 1))
    return f"({least + 1} - 1)" if value == least and bits >= 32 else str(value)
