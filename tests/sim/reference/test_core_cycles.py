"""The cycle model: small layers counted by hand. The testbenches compare it with the RTL."""

import numpy as np
import pytest

from fineq_hw.config import ARRAYS, ArrayConfig, MacConfig
from fineq_sim.reference.core_cycles import layer_cycles, vector_maxima
from fineq_sim.reference.layer_partition import LayerTile, inner_tiles, tile_inputs, tiles

SMALL = ArrayConfig(rows=2, columns=3, accumulator_bits=16)


def test_maxima_of_weight_vectors():
    codes = np.array([[0, 1, -2, 3], [0, 0, 0, -1]], np.int8)
    assert vector_maxima(codes, 3).tolist() == [[2, 0], [3, 1]]


def test_tiles_of_a_layer():
    assert list(tiles(3, 4, SMALL)) == [
        LayerTile(0, 2, 0, False, False),
        LayerTile(0, 2, 1, True, True),
        LayerTile(2, 1, 0, False, False),
        LayerTile(2, 1, 1, True, True),
    ]


def test_one_tile_by_hand():
    """Rows in cycles 0 and 1; vectors accepted in 2, 5 and 6; the last one (2 steps) has its result in 9."""
    codes = np.array([[3, 0, 0], [0, 1, 0], [0, 0, -2]], np.int8)
    cycles = layer_cycles(codes, 2, SMALL)
    assert cycles.computing == 3 + 1 + 2
    assert cycles.total == 10
    assert cycles.preload == 2 and cycles.vectors == 3
    assert cycles.utilisation == 0.6 and cycles.cycles_per_vector == 2.0
    assert cycles.products_per_element_and_cycle == 18 / 60


def test_without_early_termination_every_vector_takes_the_full_length():
    codes = np.zeros((5, 3), np.int8)
    assert layer_cycles(codes, 2, SMALL).computing == 5
    assert layer_cycles(codes, 2, SMALL, early_termination=False).computing == 15


def test_tiles_along_tokens_and_inputs_add_up():
    codes = np.ones((4, 6), np.int8)
    one = layer_cycles(codes[:, :3], 2, SMALL)
    four = layer_cycles(codes, 4, SMALL)
    assert four.computing == 4 * one.computing
    # Between tiles: two rows, one cycle to the first pulse, four steps.
    assert four.total == one.total + 3 * (2 + 1 + 4)


def test_mac_array_takes_one_cycle_a_vector():
    codes = np.full((10, 5), 3, np.int8)
    config = MacConfig(rows=2, columns=5, weight_bits=3, accumulator_bits=20, weight_path="broadcast")
    cycles = layer_cycles(codes, 2, config)
    assert cycles.computing == cycles.vectors == 10
    assert cycles.total == 2 + 9 + (1 + 5) + 1 + 1


@pytest.mark.parametrize(
    ("codes", "tokens", "text"),
    [
        (np.zeros((0, 3), np.int8), 1, "codes have shape [0, 3]: they must be [outputs, inputs], not empty"),
        (np.zeros(3, np.int8), 1, "codes have shape [3]: they must be [outputs, inputs], not empty"),
        (np.full((1, 3), 4, np.int8), 1, "codes must lie between -3 and 3"),
        (np.ones((1, 3), np.int8), 0, "a layer of 0 tokens and 3 inputs has nothing to compute"),
        (
            np.ones((1, 300), np.int8),
            1,
            "the inner dimension 300 can overflow 16-bit partial sums: use at most 85, or a wider accumulator",
        ),
    ],
)
def test_bad_input(codes, tokens, text):
    with pytest.raises(ValueError) as error:
        layer_cycles(codes, tokens, SMALL)
    assert str(error.value) == text


def test_paper_configuration_is_between_one_and_three_cycles():
    codes = np.random.default_rng(0).integers(-3, 4, (100, 128)).astype(np.int8)
    assert 1 <= layer_cycles(codes, 64, ARRAYS["fineq_64x64"]).cycles_per_vector <= 3


def test_tiles_of_clusters_keep_them_whole():
    """What the columns hold, tile by tile, is the layer; and twins cost a step."""
    config = ArrayConfig(rows=2, columns=7, encoding="cluster", sign_handling="column")
    inner = 100
    values = np.arange(1, inner + 1)
    count = inner_tiles(inner, config)
    held = np.concatenate([tile_inputs(values, k, config) for k in range(count)])
    assert sorted(held[held > 0]) == values.tolist()
    for k in range(count):
        for first, second, third in tile_inputs(values, k, config)[:6].reshape(2, 3).tolist():
            assert not first or (first % 3 == 1 and second in (first + 1, 0) and third in (first + 2, 0))
    codes = np.zeros((4, 6), dtype=np.int8)
    codes[1, :3] = 3, 0, -3
    codes[2, :3] = 3, 0, -2
    codes[3, 1:5] = 3, 0, 0, 3
    plan = layer_cycles(codes, 2, config)
    assert plan.computing == 1 + 2 + 1 + 1
    assert layer_cycles(codes, 2, config, early_termination=False).computing == 4 * 2
