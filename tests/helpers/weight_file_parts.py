"""A weight file taken apart, to be changed and put together again, and the table of what changes it."""

import json
from pathlib import Path

from fineq.checkpoint.container import tensor_hash
from fineq.checkpoint.fileformat import file_metadata


class Parts:
    """A weight file taken apart: change it, then put it together again, with or without honest checksums."""

    def __init__(self, path: Path):
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        self.header = json.loads(raw[8 : 8 + length])
        self.metadata = self.header.pop("__metadata__")
        self.data = bytearray(raw[8 + length :])
        self.config = json.loads((path.parent / "config.json").read_text())

    def find(self, ending: str) -> str:
        return next(name for name in self.header if name.endswith(ending))

    def replace(self, name: str, data: bytes, **fields) -> None:
        """Other bytes for one tensor; those behind it move."""
        start, end = self.header[name]["data_offsets"]
        self.data[start:end] = data
        for entry in self.header.values():
            entry["data_offsets"] = [n + len(data) - (end - start) if n >= end else n for n in entry["data_offsets"]]
        self.header[name] |= {"data_offsets": [start, start + len(data)], **fields}

    def remove(self, name: str) -> None:
        self.replace(name, b"", shape=[0])
        del self.header[name]

    def sign(self) -> None:
        """Checksums as an attacker, or a careless tool, would make them."""
        checksums = {}
        for name, entry in self.header.items():
            digest = tensor_hash(name, entry["dtype"], tuple(entry["shape"]))
            digest.update(self.data[slice(*entry["data_offsets"])])
            checksums[name] = digest.hexdigest()
        self.metadata = file_metadata(checksums, self.config, len(checksums))

    def header_text(self) -> str:
        return json.dumps({"__metadata__": self.metadata} | self.header, separators=(",", ":"))

    def join(self, text: str | bytes | None = None, length: int | None = None) -> bytes:
        text = self.header_text() if text is None else text
        text = text.encode() if isinstance(text, str) else text
        return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(self.data)


BAD = {}


def bad(message: str):
    """Register a maker of a bad file: it changes `parts` and returns the file's bytes, or None for `parts.join()`."""

    def register(make):
        BAD[make.__name__] = (make, message)
        return make

    return register
