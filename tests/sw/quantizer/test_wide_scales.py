"""Rows without tails: what the format can hold exactly comes back exactly."""

import pytest
import torch

import fineq
from fineq.quantizer.packed import normalised_error
from fineq.quantizer.reference import quantize_reference

SEARCHED = ["mse-wide", "mse-wide,pairs=text"]


def rows(levels: list[float], shape: tuple[int, int], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.tensor(levels)[torch.randint(0, len(levels), shape, generator=generator)]
    return weight * (0.01 + torch.rand((shape[0], 1), generator=generator))


@pytest.mark.parametrize("recipe", SEARCHED)
@pytest.mark.parametrize("levels", [[-1.0, 0.0, 1.0], [-1.0, 1.0], [1.0]], ids=["ternary", "binary", "constant"])
@pytest.mark.parametrize("columns", [1, 3, 64, 100, 1000])
def test_exact_rows_stay_exact(recipe, levels, columns):
    weight = rows(levels, (40, columns))
    assert torch.equal(fineq.quantize(weight, recipe).dequantize(), weight)


def test_a_bitnet_checkpoint_survives_bit_for_bit():
    """Ternary matrices with one scale each, stored in bfloat16."""
    for scale in (0.0137, 1.19, 3e-5, 777.0):
        weight = (torch.randint(-1, 2, (60, 200)) * torch.tensor(scale)).to(torch.bfloat16)
        assert torch.equal(fineq.quantize(weight, "mse-wide").dequantize(torch.bfloat16), weight)


@pytest.mark.parametrize("columns", [64, 2048])
def test_uniform_rows(columns):
    """Three even levels leave a ninth of the energy of a uniform row."""
    weight = torch.rand((100, columns), generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert normalised_error(weight, fineq.quantize(weight, "mse-wide")) < 0.112


def test_narrow_gaussian_rows_gain():
    weight = torch.randn((3000, 64), generator=torch.Generator().manual_seed(0))
    assert normalised_error(weight, fineq.quantize(weight, "mse-wide")) < 0.1172


@pytest.mark.parametrize("recipe", SEARCHED)
@pytest.mark.parametrize("native", ["0", "1"])
def test_three_forms_give_the_same_bytes(recipe, native, monkeypatch):
    monkeypatch.setenv("FINEQ_NATIVE", native)
    generator = torch.Generator().manual_seed(1)
    uniform = torch.rand((6, 50), generator=generator) - 0.5
    weight = torch.cat([uniform, rows([-1.0, 0.0, 1.0], (4, 50)), torch.randn((6, 50), generator=generator)])
    packed, expected = fineq.quantize(weight, recipe), quantize_reference(weight, recipe)
    assert torch.equal(packed.blocks, expected.blocks) and torch.equal(packed.scales, expected.scales)
    base = weight.abs().amax(dim=1) / 3
    assert int((packed.scales > base).sum()) > 8  # the wide scales take part


def test_recipe_paper_stays():
    weight = rows([-1.0, 0.0, 1.0], (4, 50))
    assert torch.equal(fineq.quantize(weight, "paper").scales, weight.abs().amax(dim=1) / 3)


def test_wide_scales_need_a_search():
    with pytest.raises(fineq.FineqError, match="wide_scales asks for a searched scale without a cycle weight"):
        fineq.quantize(torch.ones(2, 3), "paper", wide_scales=True)
