"""A strict reader of safetensors files, and checksums of their tensors.

The reader trusts nothing: sizes are compared with the file before anything is allocated, every byte of the file
must belong to the header or to exactly one tensor, and a name may occur once. Tensors are read in pieces, never
through a memory map, so that the memory that reading takes is the size of the pieces.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from fineq.common.errors import FineqError

LENGTH_BYTES = 8
"""Bytes of the header length that a file starts with, little endian."""

MAX_HEADER_BYTES = 100_000_000
"""Longest header that is accepted: the limit of the safetensors library."""

SPECIAL_FLOAT = "__float__"
"""In a config.json of transformers, `{"__float__": "Infinity"}` stands for a number that JSON cannot write."""

_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
"""Escape that stands for half a character, if it stands alone."""

MAX_DIMENSIONS = 8
PIECE_BYTES = 1 << 20
"""Bytes read at once when a tensor is only checked or copied."""

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
    "C64": torch.complex64,
    "F32": torch.float32,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Element types by the name that a file gives them."""


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: type name of the file, shape, and first and last byte + 1 after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Container:
    """A safetensors file whose header has been checked.

    Attributes:
        path: the file.
        tensors: by name, in the order of their bytes.
        metadata: texts by name.
        data_start: offset of the first tensor byte in the file.
    """

    path: Path
    tensors: dict[str, TensorEntry]
    metadata: dict[str, str]
    data_start: int

    def pieces(self, name: str, piece_bytes: int = PIECE_BYTES) -> Iterator[memoryview]:
        """The bytes of a tensor, a piece at a time; a piece is only valid until the next one.

        Raises:
            FineqError: the file has become shorter.
        """
        entry = self.tensors[name]
        buffer = memoryview(bytearray(min(piece_bytes, entry.nbytes)))
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.data_start + entry.start)
            for offset in range(0, entry.nbytes, piece_bytes):
                piece = buffer[: min(piece_bytes, entry.nbytes - offset)]
                _read_exactly(file, piece, f"{self.path.name}: tensor {name}")
                yield piece

    def read(self, name: str, first: int = 0, count: int | None = None) -> Tensor:
        """Elements of a tensor in storage order, in memory of their own.

        Args:
            name: the tensor.
            first: where to start.
            count: how many; None: all that follow.

        Returns:
            A tensor of one dimension.
        """
        entry = self.tensors[name]
        dtype = DTYPES[entry.dtype]
        count = entry.elements - first if count is None else count
        if count == 0:
            return torch.empty(0, dtype=dtype)
        buffer = np.empty(count * dtype.itemsize, np.uint8)  # not filled with zeros first, unlike a bytearray
        with open(self.path, "rb", buffering=0) as file:
            file.seek(self.data_start + entry.start + first * dtype.itemsize)
            _read_exactly(file, buffer.data, f"{self.path.name}: tensor {name}")
        return torch.from_numpy(buffer).view(dtype)


def open_container(path: Path) -> Container:
    """Read and check the header of a safetensors file.

    Raises:
        FineqError: the file cannot be read, or is not exactly what its header says.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header, length = _read_header(file, size, path.name)
    except OSError as error:
        raise FineqError(f"cannot read {path}: {error.strerror or error}") from None
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FineqError(f"{path.name}: its metadata must be texts by name: the file is damaged")
    data_start = LENGTH_BYTES + length
    entries = sorted(
        (_entry(path.name, name, fields) for name, fields in header.items()),
        key=lambda entry: (entry.start, entry.end, entry.name),
    )
    position = 0
    for entry in entries:
        if entry.start != position:
            problem = "overlaps the one before it" if entry.start < position else "leaves a gap before it"
            raise FineqError(f"{path.name}: tensor {entry.name} {problem}: the file is damaged")
        position = entry.end
    if data_start + position != size:
        problem = "truncated" if data_start + position > size else "longer than its header says"
        raise FineqError(
            f"{path.name} is {problem}: it has {size} bytes, its header declares {data_start + position}: copy it again"
        )
    return Container(path, {entry.name: entry for entry in entries}, metadata, data_start)


def tensor_hash(name: str, dtype: str, shape: tuple[int, ...]) -> Any:
    """A hash that has taken in what the header says about a tensor; feed it the tensor's bytes.

    The digest (BLAKE2b, 128 bits) covers name, type and shape as well, so that a change of the header is found.
    """
    return hashlib.blake2b(json.dumps([name, dtype, list(shape)]).encode(), digest_size=16)


def tensor_digest(container: Container, name: str) -> str:
    """The checksum of a tensor as it lies in a file, 32 hexadecimal digits."""
    entry = container.tensors[name]
    digest = tensor_hash(name, entry.dtype, entry.shape)
    for piece in container.pieces(name):
        digest.update(piece)
    return digest.hexdigest()


def load_json(path: Path, what: str, special_floats: bool = False) -> dict[str, Any]:
    """A JSON object from a file, without duplicate names.

    Args:
        special_floats: see `parse_json`.

    Raises:
        FineqError: the file cannot be read or is not such an object.
    """
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise FineqError(f"{path} does not exist: {what} is needed") from None
    except OSError as error:
        raise FineqError(f"cannot read {path}: {error.strerror or error}") from None
    return parse_json(text, path.name, special_floats)


def parse_json(text: bytes | str, where: str, special_floats: bool = False) -> dict[str, Any]:
    """A JSON object without duplicate names at any depth, or a `FineqError` that names `where` it came from.

    Args:
        special_floats: take `Infinity` and `NaN`, which Python writes though JSON has no such numbers, and give them
            as transformers writes them (`SPECIAL_FLOAT`).
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            seen: set[str] = set()
            for name, _ in pairs:
                if name in seen:
                    raise FineqError(f"{where}: the name {name!r} occurs twice: the file is damaged")
                seen.add(name)
        return result

    def constant(value: str) -> dict[str, str]:
        if special_floats:
            return {SPECIAL_FLOAT: value}
        raise FineqError(f"{where}: {value} is not a JSON number: the file is damaged")

    def integer(digits: str) -> int | float:
        """Other readers keep the sign of zero, in a number that is no integer; the safetensors library is one."""
        return -0.0 if digits == "-0" else int(digits)

    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=constant, parse_int=integer)
    except FineqError:
        raise
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else "not valid"
        raise FineqError(f"{where}: its JSON text is {reason}: the file is damaged") from None
    if not isinstance(value, dict):
        raise FineqError(f"{where}: its JSON text must be an object: the file is damaged")
    if _HALF_CHARACTER.search(text) and not _is_unicode(value):
        raise FineqError(f"{where}: its JSON text has half a character: the file is damaged")
    return value


def _is_unicode(value: dict[str, Any]) -> bool:
    """Whether no text in it has one half alone of a character beyond 16 bits, which `json` takes and others do not."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_header(file: BinaryIO, size: int, where: str) -> tuple[dict[str, Any], int]:
    if size < LENGTH_BYTES + 2:
        raise FineqError(f"{where} is truncated: {size} bytes are no safetensors file")
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise FineqError(f"{where}: its header claims {length} bytes, more than the {MAX_HEADER_BYTES} allowed")
    if length > size - LENGTH_BYTES:
        raise FineqError(f"{where} is truncated: its header claims {length} bytes, the file has {size}")
    text = file.read(length)
    if len(text) != length:
        raise FineqError(f"{where} is truncated: its header ends early")
    body = text.rstrip(b" ")
    if not (body.startswith(b"{") and body.endswith(b"}")):
        raise FineqError(f"{where}: its header is not a JSON object padded with spaces: the file is damaged")
    return parse_json(body, where), length


def _entry(where: str, name: str, fields: Any) -> TensorEntry:
    if not isinstance(fields, dict) or sorted(fields) != ["data_offsets", "dtype", "shape"]:
        raise FineqError(f"{where}: tensor {name!r} must have dtype, shape and data_offsets, nothing else")
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FineqError(f"{where}: tensor {name!r} has the unknown type {dtype!r}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(n) for n in shape):
        raise FineqError(f"{where}: tensor {name!r} has a shape that is not a short list of sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        raise FineqError(f"{where}: tensor {name!r} has data_offsets that are not two positions")
    start, end = offsets
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if end - start != needed:
        raise FineqError(f"{where}: tensor {name!r} needs {needed} bytes, its data_offsets hold {end - start}")
    return TensorEntry(name, dtype, tuple(shape), start, end)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _read_exactly(file: FileIO, target: memoryview, what: str) -> None:
    filled = 0
    while filled < len(target):
        count = file.readinto(target[filled:])
        if not count:
            raise FineqError(f"{what} ends early: the file is truncated, copy it again")
        filled += count
