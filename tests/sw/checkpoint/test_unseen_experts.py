"""Experts that no calibration text reaches are told: by a warning in Python, by the command, its report and card."""

import json
import warnings
from importlib import import_module

import pytest
import torch
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq
from safetensors.torch import load_file, save_file

from fineq.calibrated import quantize_model
from fineq.calibrated.unseen import UnseenLayerWarning, unseen_layers
from fineq.huggingface.loading import load_model


@pytest.fixture
def lopsided(tmp_path):
    """A mixture of three experts whose router sees zeros, so that every token goes to the first two."""
    directory = make_model("mixtral", tmp_path / "model")
    path = directory / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if name.endswith("post_attention_layernorm.weight"):
            tensor.zero_()
    save_file(tensors, path, {"format": "pt"})
    return directory


def test_python_warns(lopsided):
    tokens = torch.randint(3, 61, (130,), generator=torch.Generator().manual_seed(0))
    with unseen_layers() as found:
        quantize_model(load_model(lopsided), tokens, "calibrated")
    stacks = ("gate_up_proj", "down_proj")
    assert sorted(found) == sorted(f"model.layers.{n}.mlp.experts.{stack}.2" for n in (0, 1) for stack in stacks)
    with pytest.warns(UnseenLayerWarning, match=r"experts\.down_proj\.2 saw no calibration text"):
        warnings.warn(UnseenLayerWarning(found[0].replace("gate_up", "down")), stacklevel=1)


def test_other_warnings_are_heard():
    with pytest.warns(RuntimeWarning, match="of another kind"), unseen_layers() as found:
        warnings.warn("of another kind", RuntimeWarning, stacklevel=1)
    assert found == []


def test_the_command_tells(tmp_path, lopsided):
    (tmp_path / "text.txt").write_text("a b c d e f g h " * 20)
    arguments = ["--recipe", "calibrated", "--calibration", tmp_path / "text.txt", "--no-check"]
    outcome = run_fineq("quantize", lopsided, "-o", tmp_path / "q", *arguments)
    assert outcome.code == 0, outcome.stderr
    report = json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    unseen = report["saw_no_calibration_text"]
    assert "model.layers.0.mlp.experts.down_proj.2" in unseen and len(unseen) == 4
    warning = outcome.stderr.splitlines()[-1]
    assert warning.startswith("WARNING: 4 expert matrices saw no calibration text and were rounded without it, such as")
    assert "4 expert matrices saw no calibration text" in (tmp_path / "q" / "README.md").read_text()


@pytest.mark.parametrize("stopped_in", ["calibration", "writing"])
def test_a_run_that_goes_on_tells_them_all(tmp_path, lopsided, monkeypatch, stopped_in):
    """Also the experts of blocks that the run before finished."""
    (tmp_path / "text.txt").write_text("a b c d e f g h " * 20)
    arguments = ["quantize", lopsided, "-o", tmp_path / "q", "--recipe", "calibrated"]
    arguments += ["--calibration", tmp_path / "text.txt", "--no-check"]
    place = {"calibration": "fineq.blockwise.run.quantize_block", "writing": "fineq.checkpoint.quantize._finish"}
    module, _, name = place[stopped_in].rpartition(".")
    original = getattr(import_module(module), name)

    def stop(*given, **named):
        if stopped_in == "writing" or given[1] == 1:
            raise KeyboardInterrupt
        return original(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(place[stopped_in], stop)
        assert run_fineq(*arguments).code != 0
    outcome = run_fineq(*arguments, "--resume")
    assert outcome.code == 0, outcome.stderr
    unseen = json.loads((tmp_path / "q" / "fineq_report.json").read_text())["saw_no_calibration_text"]
    stacks = ("gate_up_proj", "down_proj")
    assert sorted(unseen) == sorted(f"model.layers.{n}.mlp.experts.{stack}.2" for n in (0, 1) for stack in stacks)
    assert "WARNING: 4 expert matrices saw no calibration text" in outcome.stderr
