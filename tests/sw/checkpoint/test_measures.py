"""The figures of the report: native and not, and what must not be copied."""

import pytest
import torch
from helpers.models.tiny_models import make_model
from safetensors.torch import load_file, save_file

import fineq
from fineq import kernels
from fineq.checkpoint import pack
from fineq.checkpoint.pack import OWN_CODES, Measures
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.selection import Options
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.quantizer.native import row_options
from fineq.quantizer.recipes import find_recipe
from fineq.quantizer.vectorised import quantize_measured


@pytest.mark.parametrize("recipe", ["paper", "mse", "paper-column"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 23), (7, 25), (30, 100), (3, 49), (9, 51)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_native_and_plain_figures_agree(recipe, shape, dtype, monkeypatch):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    packed = fineq.quantize(weight, recipe)
    native, plain = Measures(), Measures()
    native.add(weight, packed)
    monkeypatch.setenv("FINEQ_NATIVE", "0")
    plain.add(weight, packed)
    assert native.error == pytest.approx(plain.error, rel=1e-6, abs=1e-12)
    assert native.power == pytest.approx(plain.power, rel=1e-6)
    for figure in ("clusters", "outlier_clusters", "pairs", "disagreeing_pairs"):
        assert getattr(native, figure) == getattr(plain, figure), figure


@pytest.mark.parametrize("recipe", ["paper", "mse", "paper-column", "paper-signed"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 23), (7, 25), (30, 100), (3, 49), (9, 51), (40, 48)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_kernel_measures_while_it_quantizes(recipe, shape, dtype):
    """A second pass took longer than quantizing by the paper."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight[-1] *= 1e-37  # counts as zero
    weight[:, -1] *= 8  # so that a last cluster without neighbour has outliers
    figures = kernels.RowFigures(row_options(OWN_CODES))
    packed = quantize_measured(weight, find_recipe(recipe), "weight", figures)
    assert torch.equal(packed.blocks, fineq.quantize(weight, recipe).blocks)
    assert figures.rows == len(packed.blocks)
    on_the_way, afterwards = Measures(), Measures()
    on_the_way.add(weight, packed, figures)
    afterwards.add(weight, packed)
    assert on_the_way.error == pytest.approx(afterwards.error, rel=1e-12, abs=1e-300)
    assert on_the_way.power == pytest.approx(afterwards.power, rel=1e-12, abs=1e-300)
    for figure in ("clusters", "outlier_clusters", "pairs", "disagreeing_pairs"):
        assert getattr(on_the_way, figure) == getattr(afterwards, figure), figure


def test_one_pass_measures(tmp_path, monkeypatch):
    """Of recipes whose kernel can, the figures of the report come from it."""
    source = open_source(make_model("llama", tmp_path / "model"))
    expected = [result.measures for result in quantize_checkpoint(source, tmp_path / "a", Options("paper"))]
    monkeypatch.setattr(pack, "_measure", None)
    found = [result.measures for result in quantize_checkpoint(source, tmp_path / "b", Options("paper"))]
    assert found == expected and all(0 < each.normalised_error < 0.5 for each in found)


def test_figures_do_not_depend_on_threads():
    weight = torch.randn((4000, 100), generator=torch.Generator().manual_seed(0))
    packed, found, threads = fineq.quantize(weight, "mse"), [], torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            figures = kernels.RowFigures(row_options(OWN_CODES))
            quantize_measured(weight, find_recipe("mse"), "weight", figures)
            found.append((Measures(), figures))
            found[-1][0].add(weight, packed)
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["model.norm.weight", "model.embed_tokens.weight"])
def test_nan_in_a_tensor_that_is_kept(name, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    tensors = load_file(directory / "model.safetensors")
    tensors[name].view(-1)[-1] = torch.nan
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(FineqError, match=f"{name} holds NaN"):
        quantize_checkpoint(open_source(directory), tmp_path / "q", Options())
    assert not (tmp_path / "q").exists()


def test_time_left_counts_only_work_that_is_left(tmp_path, monkeypatch):
    source = open_source(make_model("llama", tmp_path / "model"))
    calls = []

    def stop(what, done, total):
        calls.append((done, total))
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize_checkpoint(source, tmp_path / "q", Options(), progress=stop)
    (done, total), resumed = calls[-1], []
    quantize_checkpoint(
        source, tmp_path / "q", Options(), resume=True, progress=lambda what, *counts: resumed.append(counts)
    )
    assert resumed[-1] == (total - done, total - done) and resumed[0][0] < total - done
