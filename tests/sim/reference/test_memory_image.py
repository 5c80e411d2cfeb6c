"""The memory image: round trips on every named accelerator, byte positions counted by hand."""

import numpy as np
import pytest

import fineq.format as block_format
from fineq.format.temporal import input_order, row_vectors
from fineq_hw.config import ACCELERATORS, ALIGNMENT, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.interface.descriptors import inner_tiles, line_groups
from fineq_sim.driver import Accelerator, FunctionalTransport
from fineq_sim.reference import memory_image

NAMED = pytest.mark.parametrize("name", ACCELERATORS)


def random_weights(config, rng, channels, inner):
    """Integers, and what `weight_image` takes for them: bytes of blocks for FineQ, the integers for a MAC array."""
    if config.array.signed_weights:
        codes = rng.integers(-128, 128, (channels, inner), dtype=np.int8)
    else:
        codes = rng.integers(-3, 4, (channels, inner), dtype=np.int8)
        codes[:, rng.integers(0, 3) :: 3] = 0  # so that every cluster fits a 3-bit code
    if isinstance(config.array, MacConfig):
        return codes, codes
    return codes, block_format.pack(codes)


def as_columns_meet_it(config, values, width):
    """Values, zeros up to `width` behind them, in the order in which the columns of the array take them."""
    padded = np.zeros((len(values), width), dtype=np.int8)
    if isinstance(config.array, MacConfig):
        padded[:, : values.shape[1]] = values
        return padded
    order = input_order(values.shape[1], config.array.columns, config.array.encoding).reshape(-1)
    padded[:, : len(order)] = np.where(order < 0, 0, values[:, order])
    return padded


@NAMED
@pytest.mark.parametrize("channels, inner", [(1, 1), (17, 24), (70, 193), (530, 65)])
def test_weights_round_trip(name, channels, inner):
    config, rng = ACCELERATORS[name], np.random.default_rng(channels)
    codes, weights = random_weights(config, rng, channels, inner)
    image = memory_image.weight_image(config, weights, inner)
    groups = line_groups(inner, config)
    assert image.dtype == np.uint8
    assert len(image) == groups * config.weight_chunk_bytes(channels)
    assert len(image) % ALIGNMENT == 0
    read = memory_image.read_weight_image(config, image, channels, groups)
    assert read.shape[1] >= inner
    assert np.array_equal(read, as_columns_meet_it(config, codes, read.shape[1]))


@NAMED
@pytest.mark.parametrize("tokens, inner", [(1, 1), (3, 64), (70, 193)])
def test_activations_round_trip(name, tokens, inner):
    config, rng = ACCELERATORS[name], np.random.default_rng(tokens)
    activations = rng.integers(-128, 128, (tokens, inner), dtype=np.int8)
    image = memory_image.activation_image(config, activations)
    tiles = inner_tiles(memory_image.stored_inner(inner, config), config)
    stride = tiles * config.activation_tile_bytes
    assert len(image) == tokens * stride
    read = memory_image.read_activations(config, image.reshape(tokens, stride), tiles)
    assert read.shape[1] >= inner
    assert np.array_equal(read, as_columns_meet_it(config, activations, read.shape[1]))


@NAMED
@pytest.mark.parametrize("tokens", [1, 5, 6, 64, 131])
def test_token_records_round_trip(name, tokens):
    config, rng = ACCELERATORS[name], np.random.default_rng(tokens)
    multipliers, shifts = rng.integers(0, 1 << 16, tokens), rng.integers(0, 64, tokens)
    image = memory_image.token_image(config, multipliers, shifts)
    assert len(image) == -(-tokens // config.array.rows) * config.token_tile_bytes
    records = memory_image.read_tokens(config, image, tokens)
    assert np.array_equal(records["multiplier"], multipliers)
    assert np.array_equal(records["shift"], shifts)
    # The record of the first token of the second tile stands at the start of that tile.
    if tokens > config.array.rows:
        start = config.token_tile_bytes
        assert int.from_bytes(image[start : start + 2].tobytes(), "little") == multipliers[config.array.rows]


def test_channel_records():
    image = memory_image.channel_image(np.array([0x1234, 0xFFFF]), np.array([7, 63]), np.array([-2, 5]))
    assert image.tobytes().hex() == "34120700feffffff" + "ffff3f0005000000"
    records = memory_image.read_channels(image, 2)
    assert records["bias"].tolist() == [-2, 5]


def test_positions_counted_by_hand():
    """5x7: tiles of 7 inputs in 16 bytes, tiles of 16 channels, lines of 7 blocks (168 weights, 49 bytes)."""
    config = ACCELERATORS["accelerator_5x7"]
    activations = np.arange(1, 11, dtype=np.int8)[None]
    assert memory_image.activation_image(config, activations).tobytes() == bytes(
        [1, 2, 3, 4, 5, 6, 7] + [0] * 9 + [8, 9, 10] + [0] * 13
    )
    codes = np.zeros((18, 200), dtype=np.int8)
    codes[17, 168] = 1  # second tile of channels (17 - 16 = 1), second line, first weight
    image = memory_image.weight_image(config, block_format.pack(codes), 200)
    chunks = 16 * 49, 112  # 16 lines; 2 lines of 49 bytes, padded from 98 to 112
    assert len(image) == 2 * sum(chunks)
    assert np.flatnonzero(image).tolist() == [2 * chunks[0] + chunks[1] + 49 + block_format.INDEX_BYTES]


def test_mac_weights_by_hand():
    config = ACCELERATORS["mac8x3_accelerator_16x16"]
    codes = np.zeros((1, 16), dtype=np.int8)
    codes[0, :3] = [-1, 2, -3]
    # sign above two bits of magnitude: 101, 010, 111, the first in the lowest bits
    assert memory_image.weight_image(config, codes, 16)[:2].tolist() == [0b11010101, 0b1]
    eight = ACCELERATORS["mac8x8_accelerator_5x7"]
    assert memory_image.weight_image(eight, np.array([[-1, -128, 127]], dtype=np.int8), 3)[:4].tolist() == [
        255,
        128,
        127,
        0,
    ]


@pytest.mark.parametrize("columns", [4, 5, 7, 8, 16, 64])
def test_arrays_that_take_a_line_in_another_order(columns):
    """Encoding `cluster`: activations and weights meet in the same columns, so the sums stay what they are."""
    array = ArrayConfig(rows=3, columns=columns, encoding="cluster", sign_handling="column")
    config, rng = AcceleratorConfig(array), np.random.default_rng(columns)
    machine = Accelerator(FunctionalTransport(config, memory_size=1 << 20))
    for inner in (1, columns, 2 * columns, 3 * columns - 1, array.line_weights - columns, array.line_weights + 5):
        codes, blocks = random_weights(config, rng, 9, inner)
        activations = rng.integers(-128, 128, (4, inner), dtype=np.int8)
        stored = memory_image.stored_inner(inner, config)
        tiles = inner_tiles(stored, config)
        assert tiles == row_vectors(inner, columns, "cluster")
        image = memory_image.weight_image(config, blocks, inner)
        weights = memory_image.read_weight_image(config, image, 9, line_groups(stored, config))[:, : tiles * columns]
        read = memory_image.read_activations(
            config, memory_image.activation_image(config, activations).reshape(4, -1), tiles
        )
        sums = read.astype(int) @ weights.astype(int).T
        assert np.array_equal(sums, activations.astype(int) @ codes.astype(int).T)
        assert np.array_equal(machine.run(machine.load_integers(codes, 0.1), activations).values, sums)


@pytest.mark.parametrize("inner", [63, 64, 65, 127, 128, 172, 191, 192, 256, 4096])
def test_no_vector_is_added_for_clusters_at_the_end_of_a_row(inner):
    config = AcceleratorConfig(ArrayConfig(encoding="cluster", sign_handling="column"))
    assert memory_image.stored_inner(inner, config) == inner
    assert inner_tiles(inner, config) == -(-inner // 64)


def test_results_leave_the_padding_out():
    rows = np.arange(3 * 32, dtype=np.uint8)
    assert memory_image.result_stride(5, np.dtype("<i4")) == 32
    assert memory_image.read_results(rows, 3, 5, 32, np.dtype("<i4")).shape == (3, 5)
    assert memory_image.read_results(rows, 3, 3, 32, np.dtype("i1")).tolist() == [[0, 1, 2], [32, 33, 34], [64, 65, 66]]
