"""Golden vectors: contents, hexadecimal files, checksums, replacement as a whole."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch

from fineq import FineqError, quantize, quantize_activations
from fineq.format import unpack
from fineq.quantizer.golden_vectors import ARRAYS, expected_sums, read_vectors, write_vectors


def inputs(rows: int = 5, columns: int = 31, tokens: int = 3):
    generator = torch.Generator().manual_seed(0)
    packed = quantize(torch.randn(rows, columns, generator=generator), "paper-argmin")
    return packed, *quantize_activations(torch.randn(tokens, columns, generator=generator))


def digest(directory) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def test_round_trip_and_result(tmp_path):
    packed, activations, scales = inputs()
    golden = read_vectors(write_vectors(tmp_path / "a" / "golden", packed, activations, scales))
    assert (golden.rows, golden.inner_dimension, golden.tokens, golden.recipe) == (5, 31, 3, "paper-argmin")
    for name, (dtype, _) in ARRAYS.items():
        assert getattr(golden, name).dtype == dtype
    assert np.array_equal(golden.blocks, packed.blocks) and np.array_equal(golden.scales, packed.scales)
    assert np.array_equal(unpack(golden.blocks, 31), golden.codes)
    sums = [[sum(int(a) * int(c) for a, c in zip(x, w, strict=True)) for w in golden.codes] for x in golden.activations]
    assert golden.expected_sums.tolist() == sums
    real = (activations * scales[:, None]) @ packed.dequantize().T
    assert np.allclose(golden.result(), real, rtol=1e-5, atol=1e-5)


def test_hex_files_read_like_readmemh(tmp_path):
    golden = read_vectors(write_vectors(tmp_path / "golden", *inputs()))
    for name in ARRAYS:
        array = getattr(golden, name)
        lines = (tmp_path / "golden" / f"{name}.hex").read_text().split()
        assert len(lines) == len(array)
        bits = 8 * array.dtype.itemsize
        for row, line in zip(array.reshape(len(array), -1), lines, strict=True):
            assert len(line) == row.nbytes * 2
            word = int(line, 16)
            raw = np.array([word >> bits * i & (1 << bits) - 1 for i in range(len(row))], f"u{array.dtype.itemsize}")
            assert np.array_equal(raw.view(array.dtype), row)


def test_same_bytes_every_time_and_replacement(tmp_path):
    directory = tmp_path / "golden"
    write_vectors(directory, *inputs())
    first = digest(directory)
    write_vectors(directory, *inputs(rows=2))
    assert digest(directory) != first
    write_vectors(directory, *inputs())
    assert digest(directory) == first
    assert [path.name for path in tmp_path.iterdir()] == ["golden"]


def test_a_flipped_byte_anywhere_is_found(tmp_path):
    directory = write_vectors(tmp_path / "golden", *inputs(rows=2, columns=3, tokens=1))
    for path in sorted(directory.iterdir()):
        content = path.read_bytes()
        for position in range(0, len(content), 5 if path.suffix == ".json" else 1):
            path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
            with pytest.raises(FineqError, match=f"{path.name} is damaged"):
                read_vectors(directory)
        path.write_bytes(content[:-1])
        with pytest.raises(FineqError, match=f"{path.name} is damaged"):
            read_vectors(directory)
        path.unlink()
        with pytest.raises(FineqError, match=f"cannot read .*{path.name}: No such file or directory"):
            read_vectors(directory)
        path.write_bytes(content)
    read_vectors(directory)


def test_another_format_version(tmp_path):
    from fineq.quantizer.golden_vectors import _manifest_bytes

    directory = write_vectors(tmp_path / "golden", *inputs())
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_bytes(_manifest_bytes(manifest | {"format_version": 2}))
    with pytest.raises(FineqError, match="has format version 2: this program reads version 1"):
        read_vectors(directory)


def test_failed_write_leaves_the_old_set(tmp_path, monkeypatch):
    directory = write_vectors(tmp_path / "golden", *inputs())
    before = digest(directory)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(FineqError, match="cannot write golden vectors to .*golden: No space left on device"):
        write_vectors(directory, *inputs(rows=2))
    monkeypatch.undo()
    assert digest(directory) == before
    assert [path.name for path in tmp_path.iterdir()] == ["golden"]


def test_old_set_comes_back_when_the_new_one_cannot_be_put_in_place(tmp_path, monkeypatch):
    directory = write_vectors(tmp_path / "golden", *inputs())
    before = digest(directory)
    rename = os.replace

    def fail_for_the_new_one(source, target):
        if str(source).endswith(".new"):
            raise OSError(13, "Permission denied")
        rename(source, target)

    monkeypatch.setattr("os.replace", fail_for_the_new_one)
    with pytest.raises(FineqError, match="cannot write golden vectors to .*golden: Permission denied"):
        write_vectors(directory, *inputs(rows=2))
    assert digest(directory) == before
    assert [path.name for path in tmp_path.iterdir()] == ["golden"]


def test_bad_input(tmp_path):
    packed, activations, scales = inputs()
    cases = [
        (lambda: write_vectors(tmp_path / "x", packed, activations[:, :-1], scales), "be int8 of shape [tokens, 31]"),
        (lambda: write_vectors(tmp_path / "x", packed, activations.float(), scales), "activations are float32 of"),
        (lambda: write_vectors(tmp_path / "x", packed, activations[:0], scales[:0]), "there are no activations"),
        (lambda: write_vectors(tmp_path / "x", packed, activations, scales[1:]), "must be float32 of shape [3]"),
        (
            lambda: write_vectors(tmp_path / "x", quantize(torch.ones(5, 31), "paper-column"), activations, scales),
            "the matrix is quantized by columns, which the hardware cannot compute: use a row-wise recipe",
        ),
        (lambda: write_vectors(tmp_path / "file", packed, activations, scales), "file is a file: choose a dir"),
        (lambda: write_vectors(tmp_path / "file/x", packed, activations, scales), "file is a file: choose a dir"),
        (lambda: write_vectors(tmp_path / "full", packed, activations, scales), "full holds other files: choose"),
        (lambda: read_vectors(tmp_path / "nowhere"), "manifest.json: No such file or directory"),
        (
            lambda: expected_sums(np.full((1, 6_000_000), 127, np.int8), np.full((1, 6_000_000), 3, np.int8)),
            "a sum does not fit 32 bits",
        ),
    ]
    (tmp_path / "file").write_text("keep me")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("keep me")
    for call, text in cases:
        with pytest.raises(FineqError) as caught:
            call()
        assert text in str(caught.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "notes.txt"]
