"""Cycle-aware recipes: the exact optimum for a scale, by brute force; what they cost; bad options."""

import itertools

import numpy as np
import pytest
import torch

import fineq
from fineq import FineqError, kernels, normalised_error, quantize
from fineq.evaluation.methods import find_method
from fineq.format import INDEX_CODES, PAIR_WEIGHTS
from fineq.format.temporal import PULSES, vector_cycles
from fineq.quantizer.cycle_aware import Allowance, allowances, window_cycles
from fineq.quantizer.recipes import find_recipe
from fineq.quantizer.reference import quantize_reference


def gaussian(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def mean_cycles(packed: fineq.PackedWeight, columns: int = 64, encoding: str = "unary") -> float:
    return window_cycles(packed.codes().numpy(), columns, encoding).mean()


# -- against brute force ---------------------------------------------------------------------------------------


def least_cost(row: np.ndarray, scale: float, weight: float, columns: int, encoding: str, pairs: str) -> float:
    """The least of error + weight * cycles over every choice for every window, by trying them all.

    Written from docs/quantizer/recipes.md in float64, pair by pair; error is per window's mean energy.
    """
    x = np.pad(row.astype(np.float64), (0, -len(row) % PAIR_WEIGHTS)) / scale
    windows = -(-len(row) // columns)
    energy = np.square(row.astype(np.float64)).mean() * columns / scale**2
    lone = -(-len(row) // 3) % 2 == 1
    best = np.inf
    for chosen in itertools.product(allowances(encoding), repeat=windows):
        cost = weight * sum(allowance.cycles for allowance in chosen)
        for first in range(0, len(x), PAIR_WEIGHTS):
            losses = []
            for code in range(INDEX_CODES):
                loss = 0.0
                for i in range(first, first + PAIR_WEIGHTS):
                    levels = range(chosen[min(i // columns, windows - 1)].largest + 1)
                    levels = [level for level in levels if level <= (1 if code == 0 else 3)]
                    levels = [0] if code and i % 3 == code - 1 else levels
                    loss += min((abs(x[i]) - level) ** 2 for level in levels)
                losses.append(loss)
            own = []
            for start in (first, first + 3):
                sizes = np.abs(x[start : start + 3])
                own.append(1 + int(sizes.argmin()) if sizes.max() > 4 * sizes.min() else 0)
            kept = (pairs == "text" and own[0] == own[1]) or (lone and first + PAIR_WEIGHTS == len(x))
            cost += (losses[own[0]] if kept else min(losses)) / energy
        best = min(best, cost)
    return best


@pytest.mark.parametrize("encoding", PULSES)
@pytest.mark.parametrize(("columns", "length"), [(8, 29), (8, 24), (6, 18), (7, 21), (16, 40), (64, 30)])
@pytest.mark.parametrize("recipe", ["paper-cycles", "mse-cycles"])
def test_the_choice_is_the_best_for_its_scale(recipe, columns, length, encoding):
    weight = gaussian(6, length, seed=length)
    for cycle_weight in (0.02, 0.1):
        packed = quantize(weight, recipe, cycle_weight=cycle_weight, columns=columns, encoding=encoding)
        codes = packed.codes(strict=True)
        cycles = window_cycles(codes.numpy(), columns, encoding).sum(axis=1)
        for row, values, scale, taken in zip(weight, codes, packed.scales, cycles, strict=True):
            error = (row.double() - values * scale.double()).square().sum() / row.double().square().mean() / columns
            pairs = find_recipe(recipe).pairs
            least = least_cost(row.numpy(), scale.item(), cycle_weight, columns, encoding, pairs)
            assert error.item() + cycle_weight * taken == pytest.approx(least, abs=1e-4)


def test_the_searched_scale_is_the_best_tried():
    weight = gaussian(5, 40)
    packed = quantize(weight, "mse-cycles", columns=16, cycle_weight=0.05)
    for row, scale in zip(weight.numpy(), packed.scales, strict=True):
        found, *tried = (
            least_cost(row, float(s), 0.05, 16, "unary", "argmin")
            for s in (scale, *(np.abs(row).max() / 3 * n / 32 for n in range(3, 49, 5)))
        )
        assert found <= min(tried) + 1e-4


# -- what follows from it --------------------------------------------------------------------------------------


def test_a_weight_of_almost_nothing_changes_nothing():
    weight = gaussian(20, 300)
    for recipe in ("paper", "paper-argmin"):
        aware = quantize(weight, recipe, cycle_weight=1e-12)
        assert torch.equal(aware.blocks, quantize(weight, recipe).blocks)
        assert torch.equal(aware.scales, quantize(weight, recipe).scales)


def test_a_higher_weight_never_takes_more_cycles_nor_errs_less():
    weight = gaussian(16, 700)
    packed = [quantize(weight, "paper", cycle_weight=w) for w in (0, 0.005, 0.02, 0.05, 0.1, 1)]
    cycles, errors = [mean_cycles(p) for p in packed], [normalised_error(weight, p) for p in packed]
    assert cycles == sorted(cycles, reverse=True) and errors == sorted(errors)
    assert cycles[0] > 2 and cycles[-1] == 1


def test_better_than_the_paper_in_error_and_cycles():
    weight = gaussian(24, 4096)
    paper, aware = quantize(weight, "paper"), quantize(weight, "mse-cycles")
    assert normalised_error(weight, aware) < 0.9 * normalised_error(weight, paper)
    assert mean_cycles(aware) < 0.97 * mean_cycles(paper)


def test_result_does_not_depend_on_threads_or_chunks(monkeypatch):
    weight = gaussian(12, 200)
    expected = quantize(weight, "mse-cycles")
    threads = torch.get_num_threads()
    try:
        for count, chunk in ((2, 1 << 19), (1, 777)):
            torch.set_num_threads(count)
            monkeypatch.setattr("fineq.quantizer.vectorised.CHUNK_WEIGHTS", chunk)
            packed = quantize(weight, "mse-cycles")
            assert torch.equal(packed.blocks, expected.blocks) and torch.equal(packed.scales, expected.scales)
    finally:
        torch.set_num_threads(threads)


def test_zero_rows_and_zero_windows():
    weight = gaussian(3, 200)
    weight[1], weight[2, 64:128] = 0, 0
    packed = quantize(weight, "mse-cycles")
    assert packed.scales[1] == 1 and not packed.codes(strict=True)[1].any()
    assert window_cycles(packed.codes().numpy(), 64, "unary")[1:, 1].tolist() == [1, 1]


@pytest.mark.skipif(not kernels.available(), reason=f"no native kernels: {kernels.reason()}")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"columns": 16, "cycle_weight": 0.1},
        {"columns": 7, "encoding": "2s-unary"},
        {"loss": "absolute"},
        {"comparison": "signed", "pairs": "text"},
        {"encoding": "parallel"},
    ],
)
@pytest.mark.parametrize("length", [7, 64, 100, 531])
def test_the_kernel_gives_the_same_bytes(length, options, monkeypatch):
    weight = gaussian(24, length) / gaussian(24, length, seed=1).abs() ** 0.6
    weight[0], weight[1], weight[2] = 0, weight[1] * 1e-30, (weight[2] * 2).round() / 2
    for recipe in ("paper-cycles", "mse-cycles"):
        with monkeypatch.context() as context:
            context.setenv("FINEQ_NATIVE", "0")
            expected = quantize(weight, recipe, **options)
        with monkeypatch.context() as context:
            context.setattr("fineq.quantizer.cycle_aware.Windows", None)  # the kernel must do it
            found = quantize(weight, recipe, **options)
        assert torch.equal(found.scales, expected.scales)
        assert torch.equal(found.blocks, expected.blocks)


# -- its parts -------------------------------------------------------------------------------------------------


def test_allowances_are_the_largest_magnitudes_for_their_cycles():
    assert allowances("unary") == (Allowance(1, 1), Allowance(2, 2), Allowance(3, 3))
    for encoding in PULSES:
        for allowance in allowances(encoding):
            assert vector_cycles(allowance.largest, encoding) == allowance.cycles
            if allowance.largest < 3:
                assert vector_cycles(allowance.largest + 1, encoding) > allowance.cycles
        assert allowances(encoding)[-1].largest == 3


@pytest.mark.parametrize("encoding", PULSES)
def test_window_cycles_are_those_of_the_largest_weight(encoding):
    codes = torch.randint(-3, 4, (5, 70), generator=torch.Generator().manual_seed(0)).numpy().astype(np.int8)
    codes[0] //= 2
    codes[1, :32] = 0
    found = window_cycles(codes, 32, encoding)
    assert found.shape == (5, 3)
    largest = [[max(abs(int(c)) for c in row[i : i + 32]) for i in (0, 32, 64)] for row in codes]
    assert found.tolist() == [[vector_cycles(value, encoding) for value in row] for row in largest]


# -- options ---------------------------------------------------------------------------------------------------


def test_a_recipe_may_be_given_with_its_options():
    recipe = find_recipe("mse-cycles,cycle_weight=0.1,columns=16")
    assert (recipe.cycle_weight, recipe.columns, recipe.scale) == (0.1, 16, "mse")
    assert find_recipe(recipe.name) == recipe
    weight = gaussian(4, 48)
    dequantized, _ = find_method(recipe.name).quantize(weight, "weight")
    assert torch.equal(dequantized, quantize(weight, recipe).dequantize())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: find_recipe("mse", cycle_weight=-1), "cycle_weight is -1: it must be a number from 0 to 1000"),
        (
            lambda: find_recipe("mse", encoding="cluster"),
            "encoding is 'cluster': choose one of unary, 2s-unary, bitplane, parallel",
        ),
        (lambda: find_recipe("mse", columns=5), "columns is 5: it must be a whole number, at least 6"),
        (
            lambda: find_recipe("paper-column", cycle_weight=0.1),
            "cycle_weight is 0.1 with axis 'column': the array computes axis 'row' only",
        ),
        (lambda: find_recipe("mse-cycles,columns=many"), "columns is 'many': it must be a whole number"),
        (lambda: find_recipe("mse,cycle_weight=x"), "cycle_weight is 'x': it must be a number"),
        (lambda: find_recipe("mse,fast"), "recipe option 'fast' has no value: write fast=VALUE"),
        (lambda: find_recipe("mse,fast=1"), "unknown recipe option 'fast': choose from axis"),
        (lambda: quantize_reference(gaussian(2, 3), "mse-cycles"), "knows no cycles: set cycle_weight to 0"),
    ],
)
def test_bad_options(call, text):
    with pytest.raises(FineqError) as caught:
        call()
    assert text in str(caught.value)
