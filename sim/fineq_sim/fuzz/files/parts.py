"""A checkpoint in memory, whole or taken apart: change it, then put it together again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.checkpoint.container import LENGTH_BYTES, tensor_hash
from fineq.checkpoint.fileformat import file_metadata

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class Case:
    """The files of a checkpoint.

    Attributes:
        shards: weight files.
        config: config.json.
    """

    shards: tuple[bytes, ...]
    config: bytes

    @property
    def nbytes(self) -> int:
        return len(self.config) + sum(map(len, self.shards))

    def write(self, directory: Path) -> list[Path]:
        """Into a directory; returns the weight files."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / CONFIG_FILE).write_bytes(self.config)
        paths = [directory / name for name in shard_names(len(self.shards))]
        for path, content in zip(paths, self.shards, strict=True):
            path.write_bytes(content)
        return paths

    @classmethod
    def read(cls, directory: Path) -> Case:
        """From a directory."""
        shards = sorted(directory.glob("*.safetensors"))
        return cls(tuple(path.read_bytes() for path in shards), (directory / CONFIG_FILE).read_bytes())


def shard_names(count: int) -> list[str]:
    """Names of the weight files of a checkpoint."""
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]


class Parts:
    """A weight file taken apart.

    Attributes:
        header: fields by tensor name, as in the file, without the metadata.
        metadata: texts by name.
        data: bytes of all tensors.
        config: config.json beside it.
    """

    def __init__(self, raw: bytes, config: dict[str, Any]) -> None:
        length = int.from_bytes(raw[:LENGTH_BYTES], "little")
        self.header: dict[str, Any] = json.loads(raw[LENGTH_BYTES : LENGTH_BYTES + length])
        self.metadata: Any = self.header.pop("__metadata__")
        self.data = bytearray(raw[LENGTH_BYTES + length :])
        self.config = config

    @classmethod
    def of_file(cls, path: Path) -> Parts:
        """Of a file with config.json beside it."""
        return cls(path.read_bytes(), json.loads((path.parent / CONFIG_FILE).read_text()))

    def find(self, ending: str) -> str:
        return next(name for name in self.header if name.endswith(ending))

    def replace(self, name: str, data: bytes, **fields: Any) -> None:
        """Other bytes for one tensor; those behind it move."""
        start, end = self.header[name]["data_offsets"]
        self.data[start:end] = data
        for entry in self.header.values():
            entry["data_offsets"] = [n + len(data) - (end - start) if n >= end else n for n in entry["data_offsets"]]
        self.header[name] |= {"data_offsets": [start, start + len(data)], **fields}

    def remove(self, name: str) -> None:
        self.replace(name, b"", shape=[0])
        del self.header[name]

    def sign(self, total: int | None = None) -> None:
        """Checksums as an attacker, or a careless tool, would make them.

        Args:
            total: tensors of the whole checkpoint; None: this file is all of it.
        """
        checksums = {}
        for name, entry in self.header.items():
            digest = tensor_hash(name, entry["dtype"], tuple(entry["shape"]))
            digest.update(self.data[slice(*entry["data_offsets"])])
            checksums[name] = digest.hexdigest()
        self.metadata = file_metadata(checksums, self.config, len(checksums) if total is None else total)

    def header_text(self) -> str:
        return json.dumps({"__metadata__": self.metadata} | self.header, separators=(",", ":"))

    def join(self, text: str | bytes | None = None, length: int | None = None) -> bytes:
        """The file, with another header text, or another length than its own, if given."""
        text = self.header_text() if text is None else text
        text = text.encode() if isinstance(text, str) else text
        return (len(text) if length is None else length).to_bytes(LENGTH_BYTES, "little") + text + bytes(self.data)
