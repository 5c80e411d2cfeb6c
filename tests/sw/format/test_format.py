"""The block format: frozen vectors, the examples of docs/quantizer/format.md, round trips, bad input."""

import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fineq import FineqError
from fineq import format as block_format
from fineq.format import bits_per_weight, decode_cluster, encode_cluster, pack, smallest_index, unpack, unpack_index
from fineq.format.frozen_vectors import format_vectors_text, load_format_vectors

PAGE = (Path(__file__).parents[3] / "docs/quantizer/format.md").read_text()


def one_row(values) -> np.ndarray:
    return np.array([values], np.int8)


def from_hex(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint8)[None]


# -- frozen vectors --------------------------------------------------------------------------------------------


def test_frozen_vectors_are_what_the_code_makes():
    assert files("fineq").joinpath("data/format_vectors.json").read_text() == format_vectors_text()


def test_frozen_clusters_cover_everything_and_agree_with_pack_and_unpack():
    clusters = load_format_vectors()["clusters"]
    assert {(c["index"], c["payload"]) for c in clusters} == {(i, p) for i in range(4) for p in range(64)}
    for cluster in clusters:
        block = from_hex(f"{cluster['index']:02x}{cluster['payload']:02x}0000000000")
        assert unpack(block, 3, strict=False).tolist() == [cluster["weights"]]
        if cluster["minus_zeros"]:
            with pytest.raises(FineqError, match=f"row 0, block 0, weight {cluster['minus_zeros'][0]} is minus zero"):
                unpack(block, 3)
        else:
            assert unpack(block, 3).tolist() == [cluster["weights"]]
            assert np.array_equal(pack(one_row(cluster["weights"]), one_row([cluster["index"]])), block)


def test_frozen_rows():
    rows = load_format_vectors()["rows"]
    for row in rows:
        blocks = from_hex(row["bytes"])
        length = len(row["weights"])
        assert unpack(blocks, length).tolist() == [row["weights"]]
        assert unpack_index(blocks, length).tolist() == [row["index"]]
        assert np.array_equal(pack(one_row(row["weights"]), one_row(row["index"])), blocks)
    assert {w for row in rows for w in row["weights"]} == set(range(-3, 4))
    assert {i for row in rows for i in row["index"]} == set(range(4))


# -- docs/quantizer/format.md ----------------------------------------------------------------------------------


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_documented_clusters():
    examples = re.findall(r"^\| \d \| -?\d .*0x[0-9a-f]{2} \|$", PAGE, re.MULTILINE)
    assert len(examples) == 5
    for line in examples:
        code, weights, bits, payload = cells(line)
        weights = tuple(int(w) for w in weights.split())
        assert int(bits.replace(" ", ""), 2) == int(payload, 16)
        assert encode_cluster(int(code), weights) == int(payload, 16)
        assert decode_cluster(int(code), int(payload, 16)) == (weights, ())


def test_documented_blocks():
    rows = [cells(line) for line in re.findall(r"^\| \d \| \d \| \d \| .* \| [01]{6} \|$", PAGE, re.MULTILINE)]
    block, short = (from_hex(text) for text in re.findall(r"^Bytes: `(.*)`$", PAGE, re.MULTILINE))
    weights = [int(w) for row in rows for w in row[3].split()]
    assert [int(row[0]) for row in rows] == [c // 2 for c in range(8)]
    assert unpack_index(block, 24).tolist() == [[int(row[1]) for row in rows[::2]]]
    assert unpack(block, 24).tolist() == [weights]
    payload = int.from_bytes(block[0, 1:].tobytes(), "little")
    assert [f"{payload >> 6 * c & 63:06b}" for c in range(8)] == [row[4] for row in rows]
    assert unpack(short, 4).tolist() == [[0, 3, -2, 0]]


def test_documented_sizes():
    lines = re.findall(r"^\| \d+ \| \d+ \| \d+ \| [\d.]+ \| [\d.]+ \|$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        length, blocks, row_bytes, bits, bits_with_scale = cells(line)
        shape = (10, int(length))
        assert block_format.blocks_per_row(int(length)) == int(blocks)
        assert block_format.bytes_per_row(int(length)) == int(row_bytes)
        assert f"{bits_per_weight(shape, include_scales=False):.3f}" == bits
        assert f"{bits_per_weight(shape):.3f}" == bits_with_scale


# -- round trips -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 100))
def test_round_trip(seed, rows, length):
    random = np.random.default_rng(seed)
    index = random.integers(0, 4, (rows, block_format.pairs_per_row(length)), dtype=np.uint8)
    codes = random.integers(-3, 4, (rows, length), dtype=np.int8)
    code = np.repeat(index, 6, axis=1)[:, :length]
    codes = np.where(code == 0, np.clip(codes, -1, 1), codes)
    codes = np.where(code == np.arange(length) % 3 + 1, 0, codes).astype(np.int8)
    blocks = pack(codes, index)
    assert blocks.shape == (rows, block_format.bytes_per_row(length))
    assert np.array_equal(unpack(blocks, length), codes)
    assert np.array_equal(unpack_index(blocks, length), index)
    assert (smallest_index(codes) <= index).all()
    assert np.array_equal(unpack(pack(codes), length), codes)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=14, max_size=14))
def test_any_bytes_decode_and_come_back_without_minus_zero(data):
    blocks = np.frombuffer(data, np.uint8)[None]
    codes = unpack(blocks, 48, strict=False)
    again = pack(codes, unpack_index(blocks, 48))
    assert np.array_equal(unpack(again, 48), codes)
    try:
        unpack(blocks, 48)
    except FineqError:
        assert not np.array_equal(again, blocks)
    else:
        assert np.array_equal(again, blocks)


# -- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: unpack(np.zeros((2, 13), np.uint8), 48),
            "blocks are truncated: 48 weights a row take 14 bytes, got 13",
        ),
        (
            lambda: unpack(np.zeros((2, 21), np.uint8), 48),
            "blocks are too long: 48 weights a row take 14 bytes, got 21",
        ),
        (
            lambda: unpack(np.zeros((2, 7), np.int8), 24),
            "blocks are int8 of shape [2, 7]: they must be uint8 of shape [rows, bytes]",
        ),
        (lambda: unpack(np.zeros((2, 7), np.uint8), 0), "a row of 0 weights cannot be packed"),
        (lambda: pack(np.zeros((2, 0), np.int8)), "a row of 0 weights cannot be packed"),
        (lambda: bits_per_weight((0, 5)), "a matrix of 0 rows has no bits per weight"),
        (lambda: pack(np.full((1, 3), 4)), "codes[0, 0] is 4: it must lie between -3 and 3"),
        (lambda: pack(np.full((1, 3), -128, np.int8)), "codes[0, 0] is -128: it must lie between -3 and 3"),
        (lambda: pack(np.zeros((1, 3))), "codes are float64 of shape [1, 3]: they must be integers of two dimensions"),
        (lambda: pack(one_row([0] * 3), one_row([4])), "index[0, 0] is 4: it must lie between 0 and 3"),
        (
            lambda: pack(one_row([0] * 7), one_row([0])),
            "index has shape [1, 1]: codes of shape [1, 7] need one index code per 6 weights, shape [1, 2]",
        ),
        (
            lambda: pack(one_row([0, 0, 0, 2, 0, 0]), one_row([1])),
            "row 0, weights 3 to 5 are [2, 0, 0]: they do not fit index code 1",
        ),
        (
            lambda: pack(one_row([0] * 6 + [3, 0, 1, 1, 1])),
            "row 0, weights 6 to 11 fit no index code: a pair of clusters needs magnitudes up to 1, "
            "or a zero at the same position of both",
        ),
        (
            lambda: unpack(np.array([[0] * 14, [0] * 9 + [2 << 4, 0, 0, 0, 0]], np.uint8), 48),
            "row 1, block 1, weight 6 is minus zero, which this format never stores: "
            "the data is damaged, or decode it with strict=False",
        ),
        (
            lambda: unpack(np.array([[0, 1 << 4, 0, 0, 0, 0, 0]], np.uint8), 2),
            "row 0, block 0, weight 2 is not zero, yet the row ends at 2",
        ),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(FineqError) as caught:
        call()
    assert text in str(caught.value)
