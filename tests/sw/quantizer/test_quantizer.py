"""The quantizer: worked cases from the paper's text, recipes, bad input, and what the format costs."""

import numpy as np
import pytest
import torch

import fineq
from fineq import FineqError, PackedWeight, normalised_error, quantize
from fineq.quantizer.arithmetic import grid_scales
from fineq.quantizer.recipes import RECIPES, Recipe, find_recipe


def matrix(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def gaussian(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


# -- the algorithm on cases small enough to follow -------------------------------------------------------------


def test_outliers_keep_3_bits_and_the_smallest_is_dropped():
    packed = quantize(matrix([3.0, 0.5, -2.0, -3.0, 0.4, 1.6]), "paper")
    assert packed.scales.tolist() == [1.0]
    assert packed.index().tolist() == [[2]]
    assert packed.codes().tolist() == [[3, 0, -2, -3, 0, 2]]


def test_threshold_is_strict():
    assert quantize(matrix([4.0, 1.0, 2.0] * 2), "paper").index().tolist() == [[0]]
    assert quantize(matrix([4.01, 1.0, 2.0] * 2), "paper").index().tolist() == [[2]]
    assert quantize(matrix([4.0, 1.0, 2.0] * 2), "paper", threshold=3.5).index().tolist() == [[2]]


def test_zero_minimum_flags_any_other_cluster_but_not_an_all_zero_one():
    packed = quantize(matrix([3.0, 0.0, 0.0, 0.1, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), "paper")
    assert packed.index().tolist() == [[2, 0]]


def test_halves_round_to_even():
    packed = quantize(matrix([3.0, 2.5, 0.0, 1.5, -2.5, 0.0]), "paper")
    assert packed.codes().tolist() == [[3, 2, 0, 2, -2, 0]]
    packed = quantize(matrix([0.5, -0.5, 0.5, 1.5, 0.5, 0.5, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]), "paper")
    assert packed.codes()[0, :6].tolist() == [0, 0, 0, 1, 0, 0]


def test_disagreeing_pair_takes_the_smaller_loss_and_an_agreeing_one_keeps_its_code():
    # 3 1 1 alone is normal, 3 0.1 2 alone drops its second weight; together code 2 loses least.
    assert quantize(matrix([3.0, 1.0, 1.0, 3.0, 0.1, 2.0]), "paper").index().tolist() == [[2]]
    # Both are normal by the rule (3 <= 4 x 1), although code 2 would lose less.
    agreeing = matrix([3.0, 1.0, 3.0, 3.0, 1.0, 3.0])
    assert quantize(agreeing, "paper").index().tolist() == [[0]]
    assert quantize(agreeing, "paper-argmin").index().tolist() == [[2]]


def test_lone_last_cluster_keeps_its_own_code():
    weight = matrix([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 1.0, 3.0])
    for recipe in ("paper", "paper-argmin"):
        assert quantize(weight, recipe).index()[0, 1] == 0
        assert quantize(weight[:, :7], recipe).codes().tolist() == [[1, 1, 1, 1, 1, 1, 3]]


def test_signed_comparison_takes_the_pseudocode_at_its_word():
    packed = quantize(matrix([-3.0, 1.0, 2.0, -3.0, 1.0, 2.0]), "paper-signed")
    assert packed.codes().tolist() == [[0, 1, 2, 0, 1, 2]]


def test_absolute_loss_can_choose_differently():
    # Code 0 errs by 1.4 and five times 0.1, code 2 by 0.4, twice 0.9 and three times 0.1.
    weight = matrix([2.4, 0.9, 0.9, 0.9, 0.9, 0.9, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    assert quantize(weight, "paper-argmin").index()[0, 0] == 2
    assert quantize(weight, "paper-argmin", loss="absolute").index()[0, 0] == 0


def test_zero_rows_have_scale_one():
    packed = quantize(torch.zeros(2, 7), "paper")
    assert packed.scales.tolist() == [1.0, 1.0]
    assert not packed.blocks.any() and not packed.dequantize().any()
    assert normalised_error(torch.zeros(2, 7), packed) == 0.0


@pytest.mark.parametrize("recipe", ["mse", "mse-clipped"])
def test_searched_scale_is_the_best_of_the_grid(recipe):
    weight = gaussian(4, 96)
    packed = quantize(weight, recipe)
    grid = RECIPES[recipe].search_grid()
    absmax = weight.abs().amax(1)
    scales = {numerator: grid_scales(absmax, absmax / 3, numerator) for numerator in grid}
    for row in range(4):
        errors = []
        for numerator in grid:
            scale = scales[numerator][row]
            x = weight[row].reshape(-1, 1, 2, 3) / scale
            options = torch.stack([x.round().clamp(-1, 1)] + [x.round().clamp(-3, 3)] * 3)
            for code in (1, 2, 3):
                options[code, ..., code - 1] = 0
            errors.append(((x - options) ** 2).sum((-1, -2)).amin(0).sum() * scale**2)
        best = grid[int(torch.stack(errors).argmin())]
        assert packed.scales[row] == scales[best][row]


# -- whole matrices --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_round_trip_of_shapes_types_and_axes(recipe):
    weight = gaussian(9, 50).to(torch.bfloat16)
    packed = quantize(weight, recipe)
    assert packed.shape == (9, 50) and packed.recipe == recipe
    assert packed.codes().shape == (9, 50) and packed.codes().dtype == torch.int8
    channels, length = (50, 9) if packed.axis == "column" else (9, 50)
    assert packed.blocks.shape == (channels, 7 * -(-length // 24)) and packed.blocks.dtype == torch.uint8
    assert packed.scales.shape == (channels,) and packed.scales.dtype == torch.float32
    scales = packed.scales[None] if packed.axis == "column" else packed.scales[:, None]
    assert torch.equal(packed.dequantize(), packed.codes() * scales)
    assert packed.dequantize(torch.float16).dtype == torch.float16
    again = PackedWeight.from_codes(packed.codes(), packed.scales, packed.index(), packed.axis)
    assert torch.equal(again.blocks, packed.blocks)
    assert packed.nbytes == packed.blocks.numel() + 4 * channels
    assert packed.bits_per_weight() == pytest.approx(8 * packed.nbytes / weight.numel())


def test_columns_are_the_rows_of_the_transpose():
    weight = gaussian(30, 14)
    by_column, by_row = quantize(weight, "paper-column"), quantize(weight.T, "paper")
    assert torch.equal(by_column.blocks, by_row.blocks)
    assert torch.equal(by_column.codes(), by_row.codes().T)


def test_numpy_and_parameters_are_welcome():
    weight = gaussian(3, 30)
    expected = quantize(weight, "paper").blocks
    assert torch.equal(quantize(weight.numpy(), "paper").blocks, expected)
    assert torch.equal(quantize(weight.numpy().astype(np.float64), "paper").blocks, expected)
    assert torch.equal(quantize(torch.nn.Parameter(weight), "paper").blocks, expected)


@pytest.mark.parametrize("recipe", ["paper", "mse"])
def test_result_does_not_depend_on_threads_or_chunks(recipe, monkeypatch):
    weight = gaussian(90, 500)
    expected = quantize(weight, recipe)
    threads = torch.get_num_threads()
    try:
        for count, chunk in ((1, 1 << 19), (2, 1 << 19), (1, 1777)):
            torch.set_num_threads(count)
            monkeypatch.setattr("fineq.quantizer.vectorised.CHUNK_WEIGHTS", chunk)
            packed = quantize(weight, recipe)
            assert torch.equal(packed.blocks, expected.blocks) and torch.equal(packed.scales, expected.scales)
    finally:
        torch.set_num_threads(threads)


def test_error_on_gaussian_rows():
    # absmax scales inherit the scatter of the largest of 4104 weights, searched scales do not.
    weight = gaussian(40, 4104, seed=1)
    error = {recipe: normalised_error(weight, quantize(weight, recipe)) for recipe in ("paper", "paper-argmin", "mse")}
    assert error["paper"] == pytest.approx(0.158, abs=0.005)
    assert error["paper"] - error["paper-argmin"] == pytest.approx(0.0024, abs=0.0005)
    assert error["mse"] == pytest.approx(0.1255, abs=0.001)


# -- bad input -------------------------------------------------------------------------------------------------


def with_value(value: float, row: int, column: int) -> torch.Tensor:
    weight = gaussian(4, 9)
    weight[row, column] = value
    return weight


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: quantize(gaussian(2, 3), "papr"),
            "unknown recipe 'papr': choose one of paper, paper-argmin, paper-signed, paper-column, paper-mse, mse",
        ),
        (
            lambda: quantize(gaussian(2, 3), "paper", treshold=3),
            "unknown recipe option 'treshold': choose from axis, comparison, threshold, pairs, loss, scale",
        ),
        (lambda: quantize(gaussian(2, 3), "paper", axis="rows"), "axis is 'rows': choose one of row, column"),
        (lambda: quantize(gaussian(2, 3), "paper", threshold=0), "threshold is 0: it must be a positive number"),
        (lambda: quantize(gaussian(2, 3), "paper", threshold="4"), "threshold is '4': it must be a positive number"),
        (
            lambda: quantize(torch.ones(2, 3, dtype=torch.int8), "paper", name="q_proj"),
            "q_proj is int8: it must be float32, float16, bfloat16 or float64",
        ),
        (
            lambda: quantize(torch.ones(3), "paper"),
            "weight has shape [3]: it must be a matrix of shape [rows, columns]",
        ),
        (
            lambda: quantize(torch.ones(0, 3), "paper"),
            "weight has shape [0, 3]: it must have at least one row and one column",
        ),
        (
            lambda: quantize(torch.ones(3, 0), "paper"),
            "weight has shape [3, 0]: it must have at least one row and one column",
        ),
        (
            lambda: quantize(with_value(float("nan"), 2, 5), "paper", name="down_proj"),
            "down_proj[2, 5] is NaN: all weights must be finite float32 numbers",
        ),
        (lambda: quantize(with_value(float("-inf"), 3, 0), "paper"), "weight[3, 0] is infinite"),
        (lambda: quantize(with_value(float("inf"), 3, 1), "paper", axis="column"), "weight[3, 1] is infinite"),
        (lambda: quantize(torch.full((2, 2), 1e300, dtype=torch.float64), "paper"), "weight[0, 0] is infinite"),
        (
            lambda: PackedWeight(torch.zeros(2, 7, dtype=torch.uint8), torch.ones(2), (2, 25)),
            "blocks are uint8 of shape [2, 7]: "
            "a row-wise packed matrix of shape [2, 25] has uint8 blocks of shape [2, 14]",
        ),
        (
            lambda: PackedWeight(torch.zeros(2, 7, dtype=torch.uint8), torch.ones(3), (2, 24)),
            "scales are float32 of shape [3]: they must be float32 of shape [2]",
        ),
        (
            lambda: normalised_error(torch.ones(2, 3), quantize(torch.ones(3, 2), "paper")),
            "weight has shape [2, 3], the packed matrix [3, 2]: they must be equal",
        ),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(FineqError) as caught:
        call()
    assert text in str(caught.value)


def test_position_of_a_bad_value_in_a_later_chunk(monkeypatch):
    monkeypatch.setattr("fineq.quantizer.vectorised.CHUNK_WEIGHTS", 9)
    with pytest.raises(FineqError, match=r"weight\[3, 8\] is NaN"):
        quantize(with_value(float("nan"), 3, 8), "paper")


def test_recipes_are_named_after_their_changes():
    assert find_recipe("paper", threshold=3.0, pairs="argmin").name == "paper,threshold=3.0,pairs=argmin"
    assert find_recipe(Recipe(scale="mse")).name == "custom"
    assert all(name == recipe.name for name, recipe in RECIPES.items())


def test_package_names():
    assert set(fineq.__all__) <= set(dir(fineq))
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = fineq.quantise
