"""The figures of the report: native and not, and what must not be copied."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import make_model

import fineq
from fineq.checkpoint.pack import Measures
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.selection import Options
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError


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


def test_figures_do_not_depend_on_threads():
    weight = torch.randn((4000, 100), generator=torch.Generator().manual_seed(0))
    packed, found, threads = fineq.quantize(weight, "mse"), [], torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(Measures())
            found[-1].add(weight, packed)
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
