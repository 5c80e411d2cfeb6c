"""The vectorised quantizer against the loops that follow the paper: equal bytes, equal scales."""

import itertools

import pytest
import torch

import fineq
from fineq.quantizer.recipes import CHOICES
from fineq.quantizer.reference import quantize_reference

SWITCHES = [dict(zip(CHOICES, values, strict=True)) for values in itertools.product(*CHOICES.values())]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heavy_tailed(rows: int, columns: int, seed: int) -> torch.Tensor:
    normal = torch.randn(rows, columns, generator=generator(seed))
    return normal * torch.randn(rows, columns, generator=generator(seed + 1)).abs() ** -0.7


def assert_same(weight: torch.Tensor, recipe: str = "paper", **options) -> None:
    fast, slow = fineq.quantize(weight, recipe, **options), quantize_reference(weight, recipe, **options)
    assert torch.equal(fast.blocks, slow.blocks)
    assert torch.equal(fast.scales, slow.scales)
    assert (fast.shape, fast.axis, fast.recipe) == (slow.shape, slow.axis, slow.recipe)
    fast.codes(strict=True)


@pytest.mark.parametrize("options", SWITCHES, ids=lambda options: "-".join(options.values()))
def test_every_combination_of_switches(options):
    assert_same(torch.randn(5, 31, generator=generator(0)), **options)
    assert_same(heavy_tailed(5, 27, 1), **options)


@pytest.mark.parametrize("recipe", ["paper", "paper-argmin", "paper-signed", "paper-column"])
def test_every_width_up_to_100(recipe):
    for columns in range(1, 101):
        assert_same(heavy_tailed(2, columns, columns), recipe)


def test_scale_search_on_narrow_rows():
    for columns in range(1, 26):
        assert_same(torch.randn(2, columns, generator=generator(columns)), "mse")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("recipe", ["paper", "paper-argmin", "mse"])
def test_types_and_their_many_ties(recipe, dtype):
    # bfloat16 has 8 significant bits: equal magnitudes and values half way between codes are common.
    weight = torch.randn(6, 60, generator=generator(7)).to(torch.bfloat16).to(dtype)
    assert_same(weight, recipe)


@pytest.mark.parametrize("recipe", ["paper", "paper-argmin", "paper-signed", "mse"])
def test_ties_everywhere(recipe):
    weight = torch.randint(-6, 7, (20, 36), generator=generator(3)) / 2.0
    assert_same(weight, recipe)
    assert_same(torch.full((2, 13), -0.5), recipe)


@pytest.mark.parametrize("recipe", ["paper", "paper-argmin", "mse"])
def test_zeros_and_extremes(recipe):
    weight = heavy_tailed(9, 40, 5)
    weight[0] = 0.0
    weight[1] = -0.0
    weight[2] *= 1e-44  # subnormal: counts as zero
    weight[3] = torch.where(weight[3] > 0, 3.4e38, -1e38)  # 4 x min overflows
    weight[4, 1:] = 0.0
    weight[5] *= 2.0**-96
    weight[6, ::2] = 0.0
    weight[7, 5] = 1e30
    assert_same(weight, recipe)


def test_non_contiguous():
    weight = heavy_tailed(40, 60, 9)
    for view in (weight.T, weight[::2, ::3], weight[:, 5:-7], weight[:1].expand(4, 60)):
        assert_same(view)
        assert torch.equal(fineq.quantize(view, "paper").blocks, fineq.quantize(view.contiguous(), "paper").blocks)


@pytest.mark.parametrize("threshold", [0.3, 1, 2.7, 1e30])
def test_threshold(threshold):
    assert_same(torch.randn(6, 50, generator=generator(11)), threshold=threshold)
    assert_same(torch.randn(6, 50, generator=generator(11)), "paper-signed", threshold=threshold)
