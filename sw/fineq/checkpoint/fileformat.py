"""The quantized checkpoint: names, checksums, check of a whole directory (docs/quantizer/checkpoint-format.md)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fineq import format as block_format
from fineq.checkpoint.config_match import first_difference
from fineq.checkpoint.container import Container, TensorEntry, open_container, parse_json, tensor_digest
from fineq.common.errors import FineqError
from fineq.models.stored import INT8_TENSORS, QUANT_METHOD, SCALE_BITS

FORMAT_VERSION = 1
INT8_VERSION = 2
"""Of a checkpoint that has tensors of 8 bits, which releases before 0.2 do not know."""

VERSIONS = (FORMAT_VERSION, INT8_VERSION)
BLOCKS = "fineq_blocks"
INT8 = "fineq_int8"
SCALES = "fineq_scales"
MARKER = "weight"
"""Name and place of the original weight, held by one byte: the format version. Its shape fits no layer, so that a
loader that knows nothing of FineQ stops instead of going on with fresh weights."""

VERSION_KEY = "fineq_format"
CHECKSUMS_KEY = "fineq_checksums"
CONFIG_KEY = "fineq_config"
CONFIG_CHECKSUM = "fineq_checksum"
COUNT_KEY = "fineq_tensors"
DIGEST_DIGITS = 32

FREE_FIELDS = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
"""Fields of config.json that a model may be saved again with other values of."""

PARALLEL_BYTES = 1 << 24


@dataclass(frozen=True)
class PackedEntry:
    """What a quantized tensor of a checkpoint is: its name, original shape (matrices of a stack first) and axis, and
    whether its weights are of 8 bits, always along rows, and not in FineQ's blocks."""

    name: str
    shape: tuple[int, ...]
    axis: str
    is_int8: bool = False

    @property
    def blocks_shape(self) -> tuple[int, ...]:
        channels, length = self.shape[-2:] if self.axis == "row" else self.shape[:-3:-1]
        return (*self.shape[:-2], channels, block_format.bytes_per_row(length))

    @property
    def content(self) -> tuple[str, str, tuple[int, ...]]:
        """Name of the part that holds the codes, its type and its shape."""
        return (INT8, "I8", self.shape) if self.is_int8 else (BLOCKS, "U8", self.blocks_shape)

    @property
    def bits_per_weight(self) -> float:
        """Stored bits, padding and scales included."""
        *_, bytes_per_channel = self.content[2]
        weights = self.shape[-1] if self.axis == "row" else self.shape[-2]
        return (8 * bytes_per_channel + SCALE_BITS) / weights

    @property
    def marker(self) -> str:
        """Name of the tensor that stands where the original was: a stack of experts has no `.weight` behind it."""
        return self.name if len(self.shape) > 2 else f"{self.name}.{MARKER}"

    def parts(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Tensors of the file by name: type and shape."""
        part, dtype, shape = self.content
        return {
            f"{self.name}.{part}": (dtype, shape),
            f"{self.name}.{SCALES}": ("F32", shape[:-1]),
            self.marker: ("U8", (1,)),
        }


def config_fields(config: dict[str, Any]) -> dict[str, Any]:
    """The part of config.json that decides what the model computes. The long quantization_config, which lists all
    packed tensors, is represented by its digest.
    """
    fields = {name: value for name, value in sorted(config.items()) if name not in FREE_FIELDS}
    settings = json.dumps(fields.get("quantization_config"), sort_keys=True).encode()
    return fields | {"quantization_config": hashlib.blake2b(settings, digest_size=DIGEST_DIGITS // 2).hexdigest()}


def _with_checksum(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, and what proves that nothing in them was changed."""
    text = json.dumps(fields, sort_keys=True).encode()
    return fields | {CONFIG_CHECKSUM: hashlib.blake2b(text, digest_size=DIGEST_DIGITS // 2).hexdigest()}


def format_version(config: dict[str, Any]) -> int:
    """The version that a config.json states, or the first one if that is none that is known."""
    settings = config.get("quantization_config")
    version = settings.get("format_version") if isinstance(settings, dict) else None
    return version if type(version) is int and version in VERSIONS else FORMAT_VERSION


def file_metadata(checksums: dict[str, str], config: dict[str, Any], tensors: int) -> dict[str, str]:
    """Metadata of a weight file.

    Args:
        checksums: of its tensors; they may be of tensors of other files as well.
        config: config.json of the checkpoint.
        tensors: how many tensors the whole checkpoint has.
    """
    return {
        VERSION_KEY: str(format_version(config)),
        COUNT_KEY: str(tensors),
        CHECKSUMS_KEY: json.dumps(checksums, sort_keys=True),
        CONFIG_KEY: json.dumps(_with_checksum(config_fields(config)), sort_keys=True),
        "format": "pt",
    }


def parse_settings(settings: Any, where: str = "config.json") -> dict[str, PackedEntry]:
    """The packed tensors that a `quantization_config` lists.

    Raises:
        FineqError: it is not one of ours, of another version, or not consistent.
    """
    if not isinstance(settings, dict) or settings.get("quant_method") != QUANT_METHOD:
        raise FineqError(f"{where} has no quantization_config of FineQ: quantize the model with `fineq quantize`")
    version = settings.get("format_version")
    if type(version) is not int or version not in VERSIONS:
        raise FineqError(
            f"{where} has FineQ format version {version!r}, this release reads {' and '.join(map(str, VERSIONS))}: "
            "quantize the model again, or use the release that wrote it"
        )
    axis, tensors, int8 = settings.get("axis"), settings.get("tensors"), settings.get(INT8_TENSORS, {})
    if axis not in ("row", "column"):
        raise FineqError(f"{where}: axis is {axis!r}, it must be row or column")
    if not isinstance(int8, dict) or bool(int8) != (version == INT8_VERSION):
        raise FineqError(f"{where}: format version {version} and {INT8_TENSORS} {int8!r} do not fit together")
    if not isinstance(tensors, dict) or not (tensors or int8):
        raise FineqError(f"{where}: quantization_config lists no tensors")
    entries = {}
    for name, shape in tensors.items():
        if not _are_sizes(shape, 2, 3):
            raise FineqError(f"{where}: quantized tensor {name!r} has the shape {shape!r}, not two or three sizes")
        entries[name] = PackedEntry(name, tuple(shape), axis)
    for name, shape in int8.items():
        if not _are_sizes(shape, 2) or name in entries:
            raise FineqError(f"{where}: {INT8_TENSORS} has {name!r} of the shape {shape!r}, no matrix of its own")
        entries[name] = PackedEntry(name, tuple(shape), "row", is_int8=True)
    return entries


def _are_sizes(shape: Any, *dimensions: int) -> bool:
    is_list = isinstance(shape, list | tuple) and len(shape) in dimensions
    return is_list and all(type(n) is int and 0 < n < 2**31 for n in shape)


def check_container(container: Container, version: int = FORMAT_VERSION) -> dict[str, str]:
    """Compare every tensor of a file with its checksum.

    Args:
        version: that the file must have, the one of config.json.

    Returns:
        The checksums that the file states, by tensor name (they may cover tensors of other files as well).

    Raises:
        FineqError: no checksums, or a tensor that differs from its own.
    """
    where = container.path.name
    stated = container.metadata.get(VERSION_KEY)
    if stated != str(version):
        raise FineqError(f"{where} is no FineQ weight file of version {version}: its metadata has {stated!r}")
    if container.metadata.get("format") != "pt":
        raise FineqError(f"{where}: its metadata must have the format 'pt': the file is damaged")
    checksums = parse_json(container.metadata.get(CHECKSUMS_KEY, ""), f"{where}, checksums")
    for name in container.tensors:
        if name not in checksums:
            raise FineqError(f"{where}: tensor {name} has no checksum: the file is damaged, copy it again")
    digests = _map(lambda name: tensor_digest(container, name), list(container.tensors), container)
    for name, digest in digests.items():
        if digest != checksums[name]:
            raise FineqError(f"{where}: tensor {name} does not match its checksum: the file is damaged, copy it again")
    return checksums


def check_checkpoint(files: list[Path], config: dict[str, Any]) -> dict[str, PackedEntry]:
    """Check every byte of a quantized checkpoint.

    Args:
        files: its weight files.
        config: its config.json.

    Returns:
        The packed tensors by name.

    Raises:
        FineqError: the first thing that is wrong, with the tensor it concerns.
    """
    packed = parse_settings(config.get("quantization_config"))
    version = format_version(config)
    expected: dict[str, str] = {}
    found: dict[str, TensorEntry] = {}
    markers = {entry.marker for entry in packed.values()}
    counts: set[str] = set()
    for path in files:
        container = open_container(path)
        checksums = check_container(container, version)
        _check_config(parse_json(container.metadata.get(CONFIG_KEY, ""), f"{path.name}, config"), config, path.name)
        for name, checksum in checksums.items():
            if expected.setdefault(name, checksum) != checksum:
                raise FineqError(f"{path.name}: tensor {name} has two checksums: the files are of different models")
        for name, entry in container.tensors.items():
            if name in found:
                raise FineqError(f"{path.name}: tensor {name} lies in another file as well: the files do not belong")
            found[name] = entry
            if name.endswith(f".{SCALES}"):
                _check_scales(container, name)
            if name in markers:
                _check_marker(container, name, version)
        counts.add(container.metadata.get(COUNT_KEY, ""))
    for name in expected:
        if name not in found:
            raise FineqError(f"tensor {name} is in none of the weight files: one is missing or damaged, copy it again")
    if counts != {str(len(found))}:
        stated = ", ".join(sorted(counts))
        raise FineqError(f"the weight files hold {len(found)} tensors and state {stated}: one is missing or damaged")
    _check_packed(packed, found)
    return packed


def _check_packed(packed: dict[str, PackedEntry], found: dict[str, TensorEntry]) -> None:
    for entry in packed.values():
        for name, (dtype, shape) in entry.parts().items():
            if name not in found:
                raise FineqError(f"quantized tensor {entry.name} has no {name}: the checkpoint is incomplete")
            if (found[name].dtype, found[name].shape) != (dtype, shape):
                raise FineqError(
                    f"{name} is {found[name].dtype} {list(found[name].shape)}: config.json says that {entry.name} has "
                    f"the shape {list(entry.shape)}, which takes {dtype} {list(shape)}"
                )
    for name in found:
        base, _, part = name.rpartition(".")
        if part in (BLOCKS, INT8, SCALES) and (base not in packed or name not in packed[base].parts()):
            raise FineqError(f"{name} belongs to no quantized tensor of config.json: the two do not fit together")


def _check_marker(container: Container, name: str, expected: int) -> None:
    if (container.tensors[name].dtype, container.tensors[name].shape) != ("U8", (1,)):
        return  # found later, with what it should have been
    version = int(container.read(name))
    if version != expected:
        raise FineqError(
            f"{container.path.name}: {name} marks a tensor of FineQ format version {version}, config.json has version "
            f"{expected}: the files are of different models, or damaged"
        )


def _check_scales(container: Container, name: str) -> None:
    if container.tensors[name].dtype != "F32":
        return  # found later, with what it should have been
    scales = container.read(name)
    if not bool((torch.isfinite(scales) & (scales > 0)).all()):
        raise FineqError(f"{container.path.name}: {name} has a scale that is not a positive number")


def _check_config(expected: dict[str, Any], config: dict[str, Any], where: str) -> None:
    actual = config_fields(config)
    fields = {name: value for name, value in expected.items() if name != CONFIG_CHECKSUM}
    if CONFIG_CHECKSUM in expected and expected != _with_checksum(fields):
        raise FineqError(f"{where}: the config that it repeats does not match its checksum: the file is damaged")
    if CONFIG_CHECKSUM not in expected and fields != actual:  # of an older release: nothing tells which side changed
        names = sorted(name for name in fields.keys() | actual.keys() if fields.get(name) != actual.get(name))
        raise FineqError(f"config.json does not belong to {where}: it has another {', '.join(names)}: restore it")
    difference = None if fields == actual else first_difference(fields, actual)
    if difference:
        field, written, found = difference
        raise FineqError(
            f"config.json does not belong to {where}: {field} is {found!r}, the weights were written with {written!r}: "
            "restore it"
        )


def _map(function: Any, names: list[str], container: Container) -> dict[str, str]:
    """Apply to all names, in threads when there is much to read (hashing releases the interpreter lock)."""
    if sum(container.tensors[name].nbytes for name in names) < PARALLEL_BYTES:
        return {name: function(name) for name in names}
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(function, names), strict=True))
