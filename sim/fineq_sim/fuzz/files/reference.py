"""A second reader, written from docs/quantizer/checkpoint-format.md: what a checkpoint says, or that it is unsound.

It is plain and trusts the size of its inputs. It judges nothing but what that page states, without a word of why.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from fineq.format import unpack
from fineq_sim.fuzz.files.parts import Case

_BYTES = {"F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4} | {
    "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
    "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip


class Unsound(Exception):
    """The page says that a reader refuses it."""


@dataclass(frozen=True)
class Content:
    """What a checkpoint holds.

    Attributes:
        tensors: type, shape and bytes by name, of all files.
        codes: integers of the packed tensors by name, int8 [channels of all matrices, length].
    """

    tensors: dict[str, tuple[str, tuple[int, ...], bytes]]
    codes: dict[str, np.ndarray]


def read(case: Case) -> Content:
    """Read a checkpoint, but for whether config.json means what the weights were written with.

    Raises:
        Unsound: a rule of the page is broken.
    """
    config = _object(case.config)
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    stated: dict[str, Any] = {}
    counts = set()
    for raw in case.shards:
        mine, metadata = _file(raw)
        checksums = _object(metadata.get("fineq_checksums", ""))
        _demand(metadata.get("fineq_format") == "1" and metadata.get("format") == "pt")
        _object(metadata.get("fineq_config", ""))
        for name, (dtype, shape, data) in mine.items():
            text = json.dumps([name, dtype, list(shape)]).encode()
            _demand(checksums.get(name) == hashlib.blake2b(text + data, digest_size=16).hexdigest())
            _demand(name not in tensors)
            tensors[name] = (dtype, shape, data)
        for name, checksum in checksums.items():
            _demand(stated.setdefault(name, checksum) == checksum)
        counts.add(metadata.get("fineq_tensors"))
    _demand(stated.keys() == tensors.keys() and counts == {str(len(tensors))})
    return Content(tensors, _packed(config, tensors))


def _demand(condition: bool) -> None:
    if not condition:
        raise Unsound


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _demand(len({name for name, _ in pairs}) == len(pairs))
    return dict(pairs)


def _integer(digits: str) -> int | float:
    return -0.0 if digits == "-0" else int(digits)


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        text = text if isinstance(text, str) else text.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_pairs, parse_int=_integer)
    except (ValueError, RecursionError):
        raise Unsound from None
    _demand(isinstance(found, dict))
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Unsound from None
    return found


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _file(raw: bytes) -> tuple[dict[str, tuple[str, tuple[int, ...], bytes]], dict[str, str]]:
    _demand(len(raw) >= 10)
    (length,) = struct.unpack("<Q", raw[:8])
    _demand(length <= min(len(raw) - 8, 100_000_000))
    header = _object(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    _demand(isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values()))
    found, places = {}, []
    for name, fields in header.items():
        _demand(isinstance(fields, dict) and set(fields) == {"dtype", "shape", "data_offsets"})
        dtype, shape, place = fields["dtype"], fields["shape"], fields["data_offsets"]
        _demand(isinstance(dtype, str) and dtype in _BYTES)
        _demand(isinstance(shape, list) and len(shape) <= 8 and all(map(_is_size, shape)))
        _demand(isinstance(place, list) and len(place) == 2 and all(map(_is_size, place)))
        size = _BYTES[dtype]
        for each in shape:
            size *= each
        _demand(place[1] - place[0] == size and 8 + length + place[1] <= len(raw))
        places.append(tuple(place))
        found[name] = (dtype, tuple(shape), raw[8 + length + place[0] : 8 + length + place[1]])
    end = 0
    for first, last in sorted(places):
        _demand(first == end)
        end = last
    _demand(8 + length + end == len(raw))
    return found, metadata


def _packed(config: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> dict[str, np.ndarray]:
    settings = config.get("quantization_config")
    _demand(isinstance(settings, dict) and settings.get("quant_method") == "fineq")
    assert isinstance(settings, dict)
    _demand(type(settings.get("format_version")) is int and settings["format_version"] == 1)
    axis, listed = settings.get("axis"), settings.get("tensors")
    _demand(axis in ("row", "column") and isinstance(listed, dict) and len(listed) > 0)
    assert isinstance(listed, dict)
    codes, known = {}, set()
    for name, shape in listed.items():
        _demand(isinstance(shape, list) and len(shape) in (2, 3))
        _demand(all(type(n) is int and 0 < n < 2**31 for n in shape))
        *stack, rows, inputs = shape
        channels, length = (rows, inputs) if axis == "row" else (inputs, rows)
        width = 7 * -(-length // 24)
        marker = name if stack else f"{name}.weight"
        blocks, scales = tensors.get(f"{name}.fineq_blocks"), tensors.get(f"{name}.fineq_scales")
        _demand(blocks is not None and blocks[:2] == ("U8", (*stack, channels, width)))
        _demand(scales is not None and scales[:2] == ("F32", (*stack, channels)))
        _demand(marker in tensors and tensors[marker] == ("U8", (1,), b"\1"))
        assert blocks is not None and scales is not None
        known |= {f"{name}.fineq_blocks", f"{name}.fineq_scales"}
        codes[name] = unpack(np.frombuffer(blocks[2], np.uint8).reshape(-1, width), length, strict=False)
    for name, (dtype, _, data) in tensors.items():
        if name.endswith((".fineq_blocks", ".fineq_scales")):
            _demand(name in known)
        if name.endswith(".fineq_scales") and dtype == "F32":
            values = np.frombuffer(data, "<f4")
            _demand(bool((np.isfinite(values) & (values > 0)).all()))
    return codes
