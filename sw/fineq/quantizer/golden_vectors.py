"""Golden vectors: a directory of packed weights, activations and exact results for anyone's RTL.

One linear layer, or the first rows of one: y[m, n] = expected_sums[m, n] * activation_scales[m] * scales[n].
Every array is there twice: `<name>.npy` for programs and `<name>.hex` for `$readmemh`, one matrix row a line,
first element in the lowest bits (so it is the rightmost), two's complement, scales as IEEE 754 bits.
On request also as `<name>.bin`, the bytes of the array, and all of them as arrays of C in vectors.h
(`fineq.quantizer.vector_files`).
manifest.json gives types, shapes and SHA-256 of all files and of itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fineq import format as block_format
from fineq.common.errors import FineqError
from fineq.common.files import replacing_directory
from fineq.common.places import why_not_new
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.vector_files import C_HEADER, c_header

FORMAT_VERSION = 1
MANIFEST = "manifest.json"

ARRAYS: dict[str, tuple[str, str]] = {
    "blocks": ("uint8", "N B"),
    "codes": ("int8", "N K"),
    "scales": ("float32", "N"),
    "activations": ("int8", "M K"),
    "activation_scales": ("float32", "M"),
    "expected_sums": ("int32", "M N"),
}
"""Type and shape of each array: N rows, K inner dimension, M tokens, B bytes of a packed row."""


@dataclass(frozen=True, eq=False)
class GoldenVectors:
    """The arrays of a golden vector directory, as numpy arrays (types and shapes: `ARRAYS`)."""

    blocks: np.ndarray
    codes: np.ndarray
    scales: np.ndarray
    activations: np.ndarray
    activation_scales: np.ndarray
    expected_sums: np.ndarray
    recipe: str = "custom"

    @property
    def rows(self) -> int:
        """N: output channels."""
        return self.codes.shape[0]

    @property
    def inner_dimension(self) -> int:
        """K: input channels."""
        return self.codes.shape[1]

    @property
    def tokens(self) -> int:
        """M: activation vectors."""
        return self.activations.shape[0]

    def result(self) -> np.ndarray:
        """The layer's output, float32 [M, N]: sums times both scales."""
        return self.expected_sums.astype(np.float32) * self.activation_scales[:, None] * self.scales[None, :]


def expected_sums(activations: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """activations [M, K] @ codes [N, K]^T, exact, int32 [M, N].

    Raises:
        FineqError: a sum does not fit 32 bits (K beyond some millions).
    """
    # Every product and sum is an integer far below 2^53, so float64 is exact and much faster than integers.
    sums = activations.astype(np.float64) @ codes.astype(np.float64).T
    if sums.size and np.abs(sums).max() >= 2**31:
        raise FineqError(f"K is {codes.shape[1]}: a sum does not fit 32 bits, use fewer columns")
    return sums.astype(np.int32)


def make_vectors(packed: PackedWeight, activations: Any, activation_scales: Any) -> GoldenVectors:
    """Golden vectors from a packed matrix [N, K] and integer activations.

    Args:
        packed: quantized along rows.
        activations: int8 [M, K], torch or numpy.
        activation_scales: float32 [M], torch or numpy.

    Raises:
        FineqError: a column-wise matrix, or activations of the wrong type or shape.
    """
    if packed.axis != "row":
        raise FineqError("the matrix is quantized by columns, which the hardware cannot compute: use a row-wise recipe")
    activations, activation_scales = np.asarray(activations), np.asarray(activation_scales)
    inner_dimension = packed.shape[1]
    if activations.dtype != np.int8 or activations.ndim != 2 or activations.shape[1] != inner_dimension:
        raise FineqError(
            f"activations are {activations.dtype} of shape {list(activations.shape)}: "
            f"they must be int8 of shape [tokens, {inner_dimension}]"
        )
    if not len(activations):
        raise FineqError("there are no activations: give at least one token")
    if activation_scales.dtype != np.float32 or activation_scales.shape != (len(activations),):
        raise FineqError(
            f"activation scales are {activation_scales.dtype} of shape {list(activation_scales.shape)}: "
            f"they must be float32 of shape [{len(activations)}]"
        )
    codes = packed.codes(strict=True).numpy()
    return GoldenVectors(
        packed.blocks.cpu().numpy(),
        codes,
        packed.scales.cpu().numpy(),
        activations,
        activation_scales,
        expected_sums(activations, codes),
        packed.recipe,
    )


def write_vectors(
    directory: str | Path,
    packed: PackedWeight,
    activations: Any,
    activation_scales: Any,
    *,
    c_arrays: bool = False,
    binary: bool = False,
) -> Path:
    """Write golden vectors; an older set in the same place is replaced as a whole, or not at all.

    Args:
        directory: does not exist, is empty, or holds golden vectors and nothing else.
        packed, activations, activation_scales: see `make_vectors`.
        c_arrays: write `vectors.h` as well.
        binary: write `<name>.bin` as well.

    Returns:
        The directory.

    Raises:
        FineqError: see `make_vectors`; or the directory holds something else or cannot be written.
    """
    directory = Path(directory)
    vectors = make_vectors(packed, activations, activation_scales)
    try:
        _check_place(directory)
        with replacing_directory(directory) as fresh:
            for name, content in _files(vectors, c_arrays, binary):
                (fresh / name).write_bytes(content)
    except OSError as error:
        raise FineqError(f"cannot write golden vectors to {directory}: {error.strerror}") from error
    return directory


def _check_place(directory: Path) -> None:
    """Raise unless a set of golden vectors may take the place: only what an older one wrote is ever deleted."""
    for path in (directory, *directory.parents):
        if path.is_symlink() and not path.exists():
            raise FineqError(f"{path} {why_not_new(path)}: choose a directory for the golden vectors")
        if path.exists() and not path.is_dir():
            raise FineqError(f"{path} is a file: choose a directory for the golden vectors")
    if not directory.is_dir():
        return
    if directory.samefile(Path.cwd()):
        raise FineqError(
            f"{directory.resolve().name} is the present directory: choose one of its own for golden vectors"
        )
    found = {path.name for path in directory.iterdir()}
    if not found:
        return
    if MANIFEST not in found:
        raise FineqError(f"{directory} holds other files: choose an empty directory for the golden vectors")
    try:
        _read_manifest(directory)
    except FineqError:
        raise FineqError(
            f"{directory / MANIFEST} is no manifest of golden vectors: choose an empty directory"
        ) from None
    ours = {MANIFEST, C_HEADER} | {f"{name}.{kind}" for name in ARRAYS for kind in ("npy", "hex", "bin")}
    foreign = sorted(found - ours)
    if foreign:
        raise FineqError(f"{directory} holds {foreign[0]}, which no golden vectors have: choose an empty directory")


def read_vectors(directory: str | Path) -> GoldenVectors:
    """Read golden vectors and check every byte against the manifest.

    Raises:
        FineqError: a file is missing or damaged (which one), or the format version is unknown.
    """
    directory = Path(directory)
    manifest = _read_manifest(directory)
    arrays = {}
    for name, (dtype, _) in ARRAYS.items():
        entry = manifest["arrays"][name]
        for kind in ("npy", "hex"):
            path = directory / f"{name}.{kind}"
            content = _read(path)
            if hashlib.sha256(content).hexdigest() != entry["files"][kind]["sha256"]:
                raise FineqError(f"{path} is damaged: its checksum is not the manifest's")
            if kind == "npy":
                array = arrays[name] = np.load(BytesIO(content), allow_pickle=False)
                if array.dtype != dtype or list(array.shape) != entry["shape"]:
                    raise FineqError(f"{path} is {array.dtype} of shape {list(array.shape)}, not as in the manifest")
    return GoldenVectors(**arrays, recipe=manifest["recipe"])


# -- files -----------------------------------------------------------------------------------------------------


def _files(vectors: GoldenVectors, c_arrays: bool, binary: bool) -> Iterator[tuple[str, bytes]]:
    sizes = {
        "N": vectors.rows,
        "K": vectors.inner_dimension,
        "M": vectors.tokens,
        "B": block_format.bytes_per_row(vectors.inner_dimension),
    }
    entries = {}
    contents: dict[str, np.ndarray] = {}
    for name, (dtype, shape) in ARRAYS.items():
        array = getattr(vectors, name).astype(np.dtype(dtype).newbyteorder("<"), casting="equiv")
        assert array.shape == tuple(sizes[letter] for letter in shape.split()), name
        files = {}
        contents[name] = array
        kinds = {"npy": _npy(array), "hex": _hex(array)} | ({"bin": array.tobytes()} if binary else {})
        for kind, content in kinds.items():
            files[kind] = {"file": f"{name}.{kind}", "sha256": hashlib.sha256(content).hexdigest()}
            yield f"{name}.{kind}", content
        entries[name] = {"dtype": dtype, "shape": list(array.shape), "files": files}
    manifest = {
        "format_version": FORMAT_VERSION,
        "recipe": vectors.recipe,
        "rows": sizes["N"],
        "inner_dimension": sizes["K"],
        "tokens": sizes["M"],
        "arrays": entries,
    }
    if c_arrays:
        content = c_header({"rows": sizes["N"], "inner": sizes["K"], "tokens": sizes["M"]}, contents).encode()
        manifest["c_header"] = {"file": C_HEADER, "sha256": hashlib.sha256(content).hexdigest()}
        yield C_HEADER, content
    yield MANIFEST, _manifest_bytes(manifest)


def _npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _hex(array: np.ndarray) -> bytes:
    rows = np.ascontiguousarray(array).reshape(len(array), -1)
    return "".join(row.tobytes()[::-1].hex() + "\n" for row in rows).encode()


def _manifest_bytes(manifest: dict[str, Any]) -> bytes:
    """The manifest with a checksum over all its other entries."""
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    checksum = hashlib.sha256(json.dumps(body, indent=2).encode()).hexdigest()
    return (json.dumps(body | {"sha256": checksum}, indent=2) + "\n").encode()


def _read_manifest(directory: Path) -> dict[str, Any]:
    content = _read(directory / MANIFEST)
    damaged = FineqError(f"{directory / MANIFEST} is damaged: write the golden vectors again")
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise damaged from error
    if not isinstance(manifest, dict) or _manifest_bytes(manifest) != content:
        raise damaged
    if manifest.get("format_version") != FORMAT_VERSION:
        raise FineqError(
            f"{directory / MANIFEST} has format version {manifest.get('format_version')!r}: "
            f"this program reads version {FORMAT_VERSION}"
        )
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FineqError(f"cannot read {path}: {error.strerror}") from error
