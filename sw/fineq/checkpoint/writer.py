"""Writes one safetensors file piece by piece, with checksums that are known only at the end.

All sizes are known before the first byte, so the header has its final length from the start: the checksums in it
are placeholders until `finish`. Tensors may be written in any order.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fineq.checkpoint.container import DTYPES, LENGTH_BYTES, Container, TensorEntry, tensor_hash
from fineq.checkpoint.fileformat import DIGEST_DIGITS, file_metadata, format_version
from fineq.common.errors import FineqError


class ShardWriter:
    """One weight file of a checkpoint while it is written.

    Args:
        path: the file. If it exists with the right size, writing goes on in it.
        tensors: type and shape by name.
        config: config.json of the checkpoint; the header repeats what matters of it.
        total: number of tensors of the whole checkpoint.
    """

    def __init__(self, path: Path, tensors: dict[str, tuple[str, tuple[int, ...]]], config: dict[str, Any], total: int):
        self.path = path
        self.digests: dict[str, str] = {}
        self.version = format_version(config)
        self._config, self._total = config, total
        self._entries = _lay_out(tensors)
        self._header_bytes = len(self._header(dict.fromkeys(tensors, "0" * DIGEST_DIGITS)))
        self.nbytes = self._header_bytes + max((entry.end for entry in self._entries.values()), default=0)
        resuming = path.is_file() and path.stat().st_size == self.nbytes
        try:
            self._descriptor: int | None = os.open(
                path, os.O_RDWR | os.O_CREAT | (0 if resuming else os.O_TRUNC), 0o666
            )
            os.ftruncate(self._descriptor, self.nbytes)
        except OSError as error:
            raise FineqError(f"cannot write {path}: {error.strerror or error}") from None

    def open_tensor(self, name: str) -> TensorSink:
        return TensorSink(self, self._entries[name])

    def stored(self) -> Container:
        """The file as a reader sees it, to check what an earlier run left."""
        return Container(self.path, self._entries, {}, self._header_bytes)

    def finish(self) -> None:
        """Write the header and close the file."""
        self.write(0, memoryview(self._header(self.digests)))
        try:
            assert self._descriptor is not None
            os.fsync(self._descriptor)
        except OSError as error:
            raise FineqError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.close()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def write(self, position: int, data: memoryview) -> None:
        """Write bytes; nothing is kept back, so what is returned from has reached the system.

        Raises:
            FineqError: the system refuses, for example because the disk is full.
        """
        assert self._descriptor is not None
        data = data.cast("B")
        try:
            while data:
                count = os.pwrite(self._descriptor, data, position)
                position, data = position + count, data[count:]
        except OSError as error:
            raise FineqError(f"cannot write {self.path}: {error.strerror or error}") from error

    def _header(self, digests: dict[str, str]) -> bytes:
        fields: dict[str, Any] = {"__metadata__": file_metadata(digests, self._config, self._total)}
        for entry in self._entries.values():
            fields[entry.name] = {
                "dtype": entry.dtype,
                "shape": list(entry.shape),
                "data_offsets": [entry.start, entry.end],
            }
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(LENGTH_BYTES, "little") + text


class TensorSink:
    """A tensor that is being written, first byte to last."""

    def __init__(self, shard: ShardWriter, entry: TensorEntry):
        self._shard, self._entry, self._position = shard, entry, 0
        self._hash = tensor_hash(entry.name, entry.dtype, entry.shape)

    def write(self, data: memoryview | Tensor) -> None:
        if isinstance(data, Tensor):
            data = data.contiguous().flatten().view(torch.uint8).numpy().data
        self._shard.write(self._shard._header_bytes + self._entry.start + self._position, data)
        self._hash.update(data)
        self._position += len(data)

    def close(self) -> str:
        """The tensor's checksum, which the file's header will state."""
        if self._position != self._entry.nbytes:
            raise AssertionError(f"{self._entry.name}: {self._position} bytes written of {self._entry.nbytes}")
        self._shard.digests[self._entry.name] = self._hash.hexdigest()
        return self._shard.digests[self._entry.name]


def _lay_out(tensors: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, TensorEntry]:
    """Widest elements first, so that every tensor starts at a multiple of its element size; then by name."""
    entries, position = {}, 0
    for name in sorted(tensors, key=lambda name: (-DTYPES[tensors[name][0]].itemsize, name)):
        dtype, shape = tensors[name]
        size = torch.Size(shape).numel() * DTYPES[dtype].itemsize
        entries[name] = TensorEntry(name, dtype, tuple(shape), position, position + size)
        position += size
    return entries
