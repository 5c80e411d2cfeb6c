"""The `fineq` command: version, errors, and `fineq vectors` from start to end."""

import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from helpers.running.command_line import run_fineq
from safetensors.torch import save_file

from fineq import quantize
from fineq.quantizer.golden_vectors import read_vectors


@pytest.fixture
def model(tmp_path):
    generator = torch.Generator().manual_seed(0)
    path = tmp_path / "model.safetensors"
    tensors = {name: torch.randn(6, 30, generator=generator).to(torch.bfloat16) for name in ("a.weight", "b.weight")}
    save_file(tensors | {"norm.weight": torch.ones(30), "ids": torch.ones(2, 2, dtype=torch.int64)}, path)
    return path


def test_module_runs_and_knows_its_version():
    result = subprocess.run([sys.executable, "-m", "fineq", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"fineq {metadata.version('fineq')}\n"


def test_format_alone_does_not_load_torch():
    script = "import sys, fineq.format, fineq.format.temporal, fineq.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_vectors_of_a_safetensors_file(model, tmp_path):
    chosen = ("vectors", model, "-o", tmp_path / "v", "--tensor", "b.weight", "--tokens", 4)
    code, output, _ = run_fineq(*chosen, "--recipe", "mse")
    assert code == 0
    assert output.startswith("b.weight: 6 x 30 weights, 4.800 bits each with scales, 4 tokens, recipe mse -> ")
    golden = read_vectors(tmp_path / "v")
    from safetensors.torch import load_file

    assert np.array_equal(golden.blocks, quantize(load_file(model)["b.weight"], "mse").blocks)
    first = golden.activations.copy()
    run_fineq(*chosen, "--seed", 1, "--rows", 2)
    assert read_vectors(tmp_path / "v").rows == 2
    assert not np.array_equal(read_vectors(tmp_path / "v").activations, first)


def test_vectors_of_npy_files(tmp_path):
    weight = np.random.default_rng(0).normal(size=(3, 10))
    np.save(tmp_path / "w.npy", weight)
    np.save(tmp_path / "x.npy", weight[:2].astype(np.float32))
    np.save(tmp_path / "i.npy", np.array([[-128, 127] * 5], np.int8))
    assert run_fineq("vectors", tmp_path / "w.npy", "-o", tmp_path / "v", "--activations", tmp_path / "x.npy")[0] == 0
    assert read_vectors(tmp_path / "v").tokens == 2
    assert run_fineq("vectors", tmp_path / "w.npy", "-o", tmp_path / "v", "--activations", tmp_path / "i.npy")[0] == 0
    golden = read_vectors(tmp_path / "v")
    assert golden.activations.tolist() == [[-128, 127] * 5] and golden.activation_scales.tolist() == [1.0]


def test_errors_are_one_sentence(model, tmp_path):
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2), np.float32))
    np.save(tmp_path / "w.npy", np.ones((2, 3), np.float32))
    np.save(tmp_path / "x.npy", np.ones((2, 4), np.float32))
    (tmp_path / "bad.npy").write_bytes(b"nonsense")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    cases = [
        ([model], f"{model} holds several matrices: choose one with --tensor from a.weight, b.weight, ids"),
        ([model, "--tensor", "c"], f"{model} has no tensor 'c': choose one with --tensor from a.weight, b.weight, ids"),
        ([model, "--tensor", "ids"], "ids is int64: it must be float32, float16, bfloat16 or float64"),
        ([model, "--tensor", "norm.weight"], "norm.weight has shape [30]: it must be a matrix"),
        ([model, "--tensor", "a.weight", "--recipe", "best"], "unknown recipe 'best'"),
        ([model, "--tensor", "a.weight", "--recipe", "paper-column"], "use a row-wise recipe"),
        ([tmp_path / "no.safetensors"], f"cannot read {tmp_path / 'no.safetensors'}: there is no such file"),
        ([tmp_path / "no.npy"], f"cannot read {tmp_path / 'no.npy'}: there is no such file"),
        ([tmp_path / "bad.npy"], f"cannot read {tmp_path / 'bad.npy'}: it is not a .npy file of numbers"),
        ([tmp_path / "bad.safetensors"], f"cannot read {tmp_path / 'bad.safetensors'}"),
        ([tmp_path / "model.bin"], "is neither .safetensors nor .npy: convert the weights to one of them"),
        ([tmp_path / "cube.npy"], "cube has shape [2, 2, 2]: it must be a matrix"),
        ([tmp_path / "w.npy", "--tensor", "a"], "holds a single matrix: leave --tensor out"),
        ([tmp_path / "w.npy", "--activations", tmp_path / "x.npy"], "must be int8 of shape [tokens, 3]"),
    ]
    for arguments, text in cases:
        code, output, error = run_fineq("vectors", *arguments, "-o", tmp_path / "v")
        assert (code, output) == (1, "")
        assert error.startswith("error: ") and error.count("\n") == 1
        assert text in error
    assert not (tmp_path / "v").exists()
    assert run_fineq("vectors", tmp_path / "w.npy", "-o", tmp_path / "v", "--tokens", 0)[0] == 2
