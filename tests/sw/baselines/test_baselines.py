"""The baselines against their definitions, worked out element by element."""

import math

import pytest
import torch

from fineq.baselines import BASELINES, Rtn, Uniform
from fineq.common.errors import FineqError


def rows():
    torch.manual_seed(0)
    return [
        torch.randn(8, 30),
        torch.randn(4, 30).exp(),
        -torch.rand(4, 7) - 1,
        torch.distributions.StudentT(3.0).sample((4, 50)),
        torch.zeros(2, 5),
        torch.full((1, 4), 2.5),
        torch.randn(3, 1),
    ]


@pytest.mark.parametrize("weight", rows())
@pytest.mark.parametrize("bits", [2, 3])
def test_rtn_takes_the_nearest_point_of_the_rows_grid(weight, bits):
    dequantized, _ = Rtn(bits)(weight)
    for row, values in zip(weight.double().tolist(), dequantized.double().tolist(), strict=True):
        low, high = min(0.0, *row), max(0.0, *row)
        step = (high - low) / (2**bits - 1) or 1.0
        zero = round(-low / step)
        grid = [(code - zero) * step for code in range(2**bits)]
        assert 0.0 in grid
        for weight_, value in zip(row, values, strict=True):
            assert min(abs(value - point) for point in grid) < 1e-5 * step
            assert abs(value - weight_) <= min(abs(point - weight_) for point in grid) + 1e-5 * step


@pytest.mark.parametrize("weight", rows())
def test_uniform_takes_the_nearest_of_three_values(weight):
    dequantized, _ = Uniform()(weight)
    for row, values in zip(weight.double().tolist(), dequantized.double().tolist(), strict=True):
        largest = max(map(abs, row))
        for weight_, value in zip(row, values, strict=True):
            nearest = min((-largest, 0.0, largest), key=lambda point: abs(point - weight_))
            assert math.isclose(value, nearest, abs_tol=1e-6) or math.isclose(abs(weight_), largest / 2)


def test_worked_example():
    weight = torch.tensor([[-1.0, -0.4, 0.2, 2.0]])
    assert Rtn(2)(weight)[0].tolist() == [[-1.0, 0.0, 0.0, 2.0]]
    assert Uniform(2)(weight)[0].tolist() == [[-0.0, -0.0, 0.0, 2.0]]


def test_bits_count_scales_and_zero_points():
    weight = torch.randn(2, 64)
    assert Rtn(2)(weight)[1] == 2 + (32 + 2) / 64
    assert Uniform(2)(weight)[1] == 2 + 32 / 64


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_keeps_the_common_contract(name):
    baseline = BASELINES[name]
    weight = torch.randn(6, 32, dtype=torch.float64).to(torch.bfloat16)
    kept = weight.clone()
    dequantized, bits = baseline(weight)
    assert dequantized.shape == weight.shape and dequantized.dtype == torch.float32
    assert torch.equal(weight, kept)
    assert bits >= baseline.bits and baseline.title
    assert torch.equal(baseline(weight)[0], dequantized)
    spoiled = weight.clone()
    spoiled[2, 3] = math.nan
    with pytest.raises(FineqError, match=r"layer\[2, 3\] is NaN"):
        baseline(spoiled, "layer")
    with pytest.raises(FineqError, match="layer has shape .*: it must be a matrix"):
        baseline(weight[0], "layer")


def test_more_bits_lose_less():
    weight = torch.randn(16, 128, generator=torch.Generator().manual_seed(1))
    errors = [(Rtn(bits)(weight)[0] - weight).square().mean() for bits in (2, 3, 4, 8)]
    assert errors == sorted(errors, reverse=True)


def test_impossible_bits_are_refused():
    with pytest.raises(FineqError, match="bits is 0: it must lie between 1 and 8"):
        Rtn(0)
    with pytest.raises(FineqError, match="bits is 1: it must lie between 2 and 16"):
        Uniform(1)
