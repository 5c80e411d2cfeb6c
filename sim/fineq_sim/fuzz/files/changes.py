"""Changes that know the file: its header, checksums, settings, scales and blocks."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from fineq.checkpoint.container import DTYPES
from fineq.checkpoint.fileformat import (
    BLOCKS,
    CHECKSUMS_KEY,
    CONFIG_CHECKSUM,
    CONFIG_KEY,
    COUNT_KEY,
    SCALES,
    VERSION_KEY,
)
from fineq_sim.fuzz.files.parts import Parts
from fineq_sim.fuzz.files.raw_changes import LENGTHS

PartsChange = Callable[[Parts, Random], None]

NAMES = (
    "", "a", "__metadata__", "weight", "a.weight", "a.fineq_blocks", "a.fineq_scales", "..", "/", "a\nb", "a\u2028b",
    "\ud800", "\0", "\u00e9", "\x1b[31m", "x" * 5000, "model.layers.0.mlp.up_proj.weight", "{}", "%s",
)  # fmt: skip
"""Names that a tensor should not have, or that only another has."""

SCALE_VALUES = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, -1.0, 1e-45, 1e-38, 3.4e38, 1.0)

VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 1.0, 1.5, 1e300, "", "1", [], [[]], {}, [1], [0], [2**63], [-1], [True], [1.0],
    *LENGTHS,
)  # fmt: skip
"""What may stand in JSON where something else should."""


def _name(parts: Parts, draw: Random, ending: str = "") -> str | None:
    names = [name for name in parts.header if name.endswith(ending)]
    return draw.choice(names) if names else None


def _entry(parts: Parts, draw: Random) -> dict[str, Any] | None:
    name = _name(parts, draw)
    entry = parts.header[name] if name is not None else None
    return entry if isinstance(entry, dict) else None


def field(parts: Parts, draw: Random) -> None:
    """Anything in the place of a type, a shape or offsets."""
    if (entry := _entry(parts, draw)) is not None:
        entry[draw.choice(("dtype", "shape", "data_offsets"))] = draw.choice(VALUES)


def dtype(parts: Parts, draw: Random) -> None:
    if (entry := _entry(parts, draw)) is not None:
        entry["dtype"] = draw.choice((*DTYPES, "F4", "f32", "F32 ", "STRING", "\ud800"))


def shape(parts: Parts, draw: Random) -> None:
    """Sizes that need as many bytes, or far more."""
    if (entry := _entry(parts, draw)) is None or not isinstance(entry.get("shape"), list):
        return
    sizes = entry["shape"]
    entry["shape"] = draw.choice(
        (
            sizes[::-1], [*sizes, 1], [1, *sizes], sizes[:-1], [], [0], [*sizes, 0], [2**62, 4], [2**31] * 8, [1] * 9,
            [2**21] * 3, [size + 1 for size in sizes if type(size) is int],
        )
    )  # fmt: skip


def offsets(parts: Parts, draw: Random) -> None:
    """Another place: shifted, swapped, that of another tensor, or far away."""
    entry, other = _entry(parts, draw), _entry(parts, draw)
    if entry is None or other is None or not isinstance(entry.get("data_offsets"), list):
        return
    found = entry["data_offsets"]
    if len(found) != 2 or not all(type(n) is int for n in found):
        return
    shift = draw.choice((-8, -1, 1, 8))
    entry["data_offsets"] = draw.choice(
        (
            [n + shift for n in found], found[::-1], other.get("data_offsets"), [found[0], found[1] + shift],
            [draw.choice(LENGTHS), draw.choice(LENGTHS)], [0, found[1] - found[0]], [found[0], found[0]],
        )
    )  # fmt: skip


def exchange(parts: Parts, draw: Random) -> None:
    """Two tensors in each other's place."""
    one, other = _name(parts, draw), _name(parts, draw)
    if one is not None and other is not None:
        parts.header[one], parts.header[other] = parts.header[other], parts.header[one]


def rename(parts: Parts, draw: Random) -> None:
    if (name := _name(parts, draw)) is not None:
        parts.header[draw.choice((*NAMES, name + "x", name.upper(), name[:-1]))] = parts.header.pop(name)


def remove(parts: Parts, draw: Random) -> None:
    """A tensor with its bytes, or its entry alone."""
    if (name := _name(parts, draw)) is None:
        return
    if draw.random() < 0.5 and _is_sound(parts):
        parts.remove(name)
    else:
        del parts.header[name]


def add(parts: Parts, draw: Random) -> None:
    """A tensor of its own bytes, perhaps empty."""
    size = draw.choice((0, 1, 4, 4))
    kind = draw.choice(("U8", "BOOL") if size < 4 else ("F32", "I32"))
    entry = {
        "dtype": kind,
        "shape": [size // DTYPES[kind].itemsize],
        "data_offsets": [len(parts.data), len(parts.data) + size],
    }
    parts.header[draw.choice((*NAMES, "b.fineq_scales", "b.fineq_blocks"))] = entry
    parts.data += draw.randbytes(size)


def data_byte(parts: Parts, draw: Random) -> None:
    """A byte of some tensor."""
    if parts.data:
        parts.data[draw.randrange(len(parts.data))] = draw.randrange(256)


def blocks(parts: Parts, draw: Random) -> None:
    """Random blocks: minus zeros, padding that is not zero."""
    if (span := _span(parts, draw, BLOCKS)) is not None:
        parts.data[span] = draw.randbytes(span.stop - span.start)


def scale(parts: Parts, draw: Random) -> None:
    """A scale that is none, or an odd one."""
    if (span := _span(parts, draw, SCALES)) is not None and span.stop - span.start >= 4:
        start = span.start + 4 * draw.randrange((span.stop - span.start) // 4)
        parts.data[start : start + 4] = struct.pack("<f", draw.choice(SCALE_VALUES))


def more_data(parts: Parts, draw: Random) -> None:
    """Bytes that belong to nobody, or too few."""
    if draw.random() < 0.5:
        parts.data += draw.randbytes(draw.choice((1, 8)))
    else:
        del parts.data[-draw.choice((1, 8)) :]


def metadata(parts: Parts, draw: Random) -> None:
    """Another version, count or format, a key lost, or no texts at all."""
    if not isinstance(parts.metadata, dict):
        return
    key = draw.choice((VERSION_KEY, COUNT_KEY, CHECKSUMS_KEY, CONFIG_KEY, "format", "other"))
    if draw.random() < 0.2:
        parts.metadata.pop(key, None)
    elif draw.random() < 0.1:
        parts.metadata = draw.choice((None, [], {}, "pt", {"format": "pt"}))
    else:
        parts.metadata[key] = draw.choice(
            ("", "0", "1", "2", "01", "1.0", " 1", "{}", "[]", "pt", "null", 1, None, "\ud800")
        )


def checksums(parts: Parts, draw: Random) -> None:
    """One checksum other, in capitals, lost, one more, or of another tensor."""
    found = _text(parts, CHECKSUMS_KEY)
    if not found:
        return
    names = list(found)
    name, other = draw.choice(names), draw.choice(names)
    kind = draw.randrange(5)
    if kind == 0:
        found[name] = draw.choice(VALUES)
    elif kind == 1:
        found[name] = str(found[name]).upper()
    elif kind == 2:
        del found[name]
    elif kind == 3:
        found[draw.choice(NAMES)] = found[name]
    else:
        found[name], found[other] = found[other], found[name]
    parts.metadata[CHECKSUMS_KEY] = json.dumps(found)


def repeated_config(parts: Parts, draw: Random) -> None:
    """A field of the config that the file repeats, or its checksum."""
    if found := _text(parts, CONFIG_KEY):
        name = draw.choice([*found, CONFIG_CHECKSUM, "hidden_act"])
        if draw.random() < 0.3:
            found.pop(name, None)
        else:
            found[name] = draw.choice(VALUES)
        parts.metadata[CONFIG_KEY] = json.dumps(found)


def settings(parts: Parts, draw: Random) -> None:
    """Something in quantization_config: version, axis, method, or the tensors that it lists."""
    found = parts.config.get("quantization_config")
    if not isinstance(found, dict):
        return
    tensors = found.get("tensors")
    if draw.random() < 0.4 or not isinstance(tensors, dict) or not tensors:
        key = draw.choice(("quant_method", "format_version", "axis", "tensors", "recipe"))
        found[key] = draw.choice((*VALUES, "row", "column", "fineq"))
        return
    name = draw.choice(list(tensors))
    kind = draw.randrange(5)
    if kind == 0:
        tensors[draw.choice(NAMES)] = tensors[name]
    elif kind == 1:
        del tensors[name]
    elif kind == 2 and isinstance(tensors[name], list):
        tensors[name] = draw.choice((tensors[name][::-1], [*tensors[name], 1], tensors[name][:-1], [2**31 - 1] * 2))
    elif kind == 3 and isinstance(tensors[name], list) and tensors[name]:
        tensors[name][draw.randrange(len(tensors[name]))] = draw.choice(VALUES)
    else:
        tensors[name] = draw.choice(VALUES)


def config_field(parts: Parts, draw: Random) -> None:
    """A field of config.json."""
    name = draw.choice([*parts.config, "rope_theta", "hidden_act", "other"])
    if draw.random() < 0.2:
        parts.config.pop(name, None)
    else:
        parts.config[name] = draw.choice(VALUES)


STRUCTURED: dict[str, PartsChange] = {
    change.__name__: change
    for change in (
        field, dtype, shape, offsets, exchange, rename, remove, add, data_byte, data_byte, blocks, scale, more_data,
        metadata, checksums, repeated_config, settings,
    )
}  # fmt: skip
"""Changes of a file that has been taken apart."""


def _span(parts: Parts, draw: Random, ending: str) -> slice | None:
    name = _name(parts, draw, ending)
    offsets_of = parts.header[name].get("data_offsets") if name is not None else None
    if not isinstance(offsets_of, list) or len(offsets_of) != 2 or not all(type(n) is int for n in offsets_of):
        return None
    first, last = offsets_of
    return slice(first, last) if 0 <= first < last <= len(parts.data) else None


def _is_sound(parts: Parts) -> bool:
    """Whether bytes of a tensor can be taken out."""
    return all(
        isinstance(entry, dict)
        and isinstance(entry.get("data_offsets"), list)
        and len(entry["data_offsets"]) == 2
        and all(type(n) is int for n in entry["data_offsets"])
        for entry in parts.header.values()
    )


def _text(parts: Parts, key: str) -> dict[str, Any]:
    """A JSON object of the metadata; empty if it is none."""
    try:
        found = json.loads(parts.metadata[key])
    except (TypeError, KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
