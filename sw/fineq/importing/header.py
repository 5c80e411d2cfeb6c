"""A strict reader of what a GGUF file says about itself, so that a bad file is refused before anything is converted.

The file begins with `GGUF`, a version, the numbers of tensors and of fields; then fields (name, type, value), then
tensors (name, dimensions, type, offset), then, aligned, their data. All little endian. Sizes are compared with the
file before anything is allocated.
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fineq.common.errors import FineqError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
LARGEST_COUNT = 1 << 24
"""Most tensors, fields, or elements of a field that are believed."""

ALIGNMENT, ALIGNMENT_FIELD, ARCHITECTURE_FIELD = 32, "general.alignment", "general.architecture"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct` formats of the types of fields."""

TEXT, ARRAY = 8, 9


@dataclass(frozen=True)
class GgufTensor:
    """A tensor as the file declares it: the type is GGUF's number."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True)
class GgufHeader:
    """Fields by name, tensors in their order, where their data begins and how long the file is."""

    fields: dict[str, Any]
    tensors: list[GgufTensor]
    data_start: int
    size: int

    @property
    def architecture(self) -> str:
        return str(self.fields.get(ARCHITECTURE_FIELD, "none"))

    @property
    def weights(self) -> int:
        """Elements of all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


def read_header(path: Path) -> GgufHeader:
    """Read the header of a GGUF file.

    Raises:
        FineqError: it cannot be read, is no GGUF file, of another version, or ends early.
    """
    try:
        with open(path, "rb") as file:
            return _Reader(file, path.name).header()
    except OSError as error:
        raise FineqError(f"cannot read {path}: {error.strerror or error}") from None


class _Reader:
    def __init__(self, file: BinaryIO, name: str):
        self._file, self._name = file, name
        self._size = os.fstat(file.fileno()).st_size

    def header(self) -> GgufHeader:
        if self._size < 24 or self._file.read(4) != MAGIC:
            raise FineqError(f"{self._name} is no GGUF file: it does not begin with {MAGIC.decode()}")
        version = self._scalar("I")
        if version not in VERSIONS:
            raise FineqError(f"{self._name} is of GGUF version {version}: versions 2 and 3 can be read, little endian")
        tensor_count, field_count = self._count("tensors"), self._count("fields")
        fields: dict[str, Any] = {}
        for _ in range(field_count):
            name = self._text()
            fields[name] = self._value(self._scalar("I"))
        tensors = [self._tensor() for _ in range(tensor_count)]
        alignment = fields.get(ALIGNMENT_FIELD, ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise FineqError(f"{self._name} has the alignment {alignment!r}: the file is damaged")
        data_start = -(-self._file.tell() // alignment) * alignment
        return GgufHeader(fields, tensors, data_start, self._size)

    def _bytes(self, count: int) -> bytes:
        if count > self._size - self._file.tell():
            raise FineqError(f"{self._name} is truncated: its header ends early, copy it again")
        return self._file.read(count)

    def _scalar(self, kind: str) -> Any:
        return struct.unpack(f"<{kind}", self._bytes(struct.calcsize(f"<{kind}")))[0]

    def _count(self, what: str) -> int:
        count = self._scalar("Q")
        if count > LARGEST_COUNT:
            raise FineqError(f"{self._name} claims {count} {what}: the file is damaged")
        return count

    def _text(self) -> str:
        return self._bytes(self._scalar("Q")).decode("utf-8", "replace")

    def _value(self, kind: int, depth: int = 0) -> Any:
        if kind == TEXT:
            return self._text()
        if kind == ARRAY and depth < 4:
            inner, count = self._scalar("I"), self._count("elements of a field")
            if inner in SCALARS:
                return list(
                    struct.unpack(f"<{count}{SCALARS[inner]}", self._bytes(count * struct.calcsize(SCALARS[inner])))
                )
            return [self._value(inner, depth + 1) for _ in range(count)]
        if kind not in SCALARS:
            raise FineqError(f"{self._name} has a field of the unknown type {kind}: the file is damaged")
        return self._scalar(SCALARS[kind])

    def _tensor(self) -> GgufTensor:
        name, dimensions = self._text(), self._scalar("I")
        if dimensions > 8:
            raise FineqError(f"{self._name}: tensor {name} claims {dimensions} dimensions: the file is damaged")
        shape = tuple(self._scalar("Q") for _ in range(dimensions))
        return GgufTensor(name, shape, self._scalar("I"), self._scalar("Q"))
