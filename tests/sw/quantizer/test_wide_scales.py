"""Rows without tails: what the format can hold exactly comes back exactly."""

import pytest
import torch
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq
from safetensors.torch import load_file, save_file

import fineq
from fineq.huggingface.linear import FineqLinear
from fineq.huggingface.loading import load_model
from fineq.quantizer.packed import normalised_error
from fineq.quantizer.reference import quantize_reference

SEARCHED = ["mse", "paper-mse"]


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
        assert torch.equal(fineq.quantize(weight, "mse").dequantize(torch.bfloat16), weight)


@pytest.mark.parametrize("columns", [64, 2048])
def test_uniform_rows(columns):
    """Three even levels leave a ninth of the energy of a uniform row."""
    weight = torch.rand((100, columns), generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert normalised_error(weight, fineq.quantize(weight, "mse")) < 0.112


def test_narrow_gaussian_rows_gain():
    weight = torch.randn((3000, 64), generator=torch.Generator().manual_seed(0))
    assert normalised_error(weight, fineq.quantize(weight, "mse")) < 0.1172


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


def test_the_grid_that_only_clips_can_still_be_asked_for():
    """Checkpoints and figures made before the search reached absmax are of this recipe."""
    weight = rows([-1.0, 0.0, 1.0], (4, 500))
    packed = fineq.quantize(weight, "mse-clipped")
    assert bool((packed.scales <= weight.abs().amax(dim=1) / 3).all())
    assert normalised_error(weight, packed) == pytest.approx(0.2, abs=0.01)


def test_the_command_keeps_ternary_rows(tmp_path):
    """`fineq quantize` without a recipe, on a model of ternary weights: every matrix comes back bit for bit."""
    directory = make_model("llama", tmp_path / "model")
    path = directory / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if name.endswith("proj.weight"):
            tensors[name] = rows([-1.0, 0.0, 1.0], (len(tensor), tensor.shape[1]))
    save_file(tensors, path, {"format": "pt"})
    assert run_fineq("quantize", directory, "-o", tmp_path / "q", "--no-check").code == 0
    model = load_model(tmp_path / "q")
    packed = {name: module for name, module in model.named_modules() if isinstance(module, FineqLinear)}
    assert len(packed) == 14
    for name, module in packed.items():
        assert torch.equal(module.unpacked(), tensors[f"{name}.weight"]), name
