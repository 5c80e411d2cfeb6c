"""Tuning from the files: what the whole model in memory would give, and interruptions that leave no trace."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from helpers.models.calibration import QUICK, TEXT, opened
from helpers.models.tiny_models import files, make_model
from safetensors.torch import load_file

from fineq.blockwise import calibrate_blocks
from fineq.blockwise import memory as blockwise_memory
from fineq.calibrated import TrainingOptions, TuningOptions, quantize_model
from fineq.calibrated.tuning import memory
from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq.huggingface.loading import load_model
from fineq.models.language_model import find_weight

TUNED = replace(QUICK, tuning=TuningOptions(steps=3, tokens=128, code_reach=0.1), name="quick")


@pytest.mark.parametrize(
    ("architecture", "windows"), [("llama", 4), ("llama-tied", 0), ("gpt2", 3), ("opt", 0), ("gpt_neox", 0)]
)
def test_it_is_what_the_whole_model_in_memory_gives(architecture, windows, tokens, tmp_path):
    directory = make_model(architecture, tmp_path / "model")
    recipe = replace(TUNED, tuning=replace(TUNED.tuning, windows=windows))
    expected, expected_changed = quantize_model(load_model(directory), tokens, recipe, windows=2)
    calibration = opened(directory, tokens, tmp_path / "journal", recipe, windows=2)
    packed, changed = calibrate_blocks(calibration)
    assert all(value.is_meta for value in calibration.streamed.model.parameters())
    assert sorted(packed) == sorted(expected) and sorted(changed) == sorted(expected_changed)
    for name, layer in expected.items():
        assert torch.equal(packed[name].blocks, layer.blocks) and torch.equal(packed[name].scales, layer.scales), name
    for name, value in expected_changed.items():
        assert torch.equal(changed[name], value), name


def test_tuning_goes_on_from_trained_blocks(tokens, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    recipe = replace(TUNED, block=TrainingOptions(steps=3, batch=2))
    expected, expected_changed = quantize_model(load_model(directory), tokens, recipe)
    packed, changed = calibrate_blocks(opened(directory, tokens, tmp_path / "journal", recipe))
    assert all(torch.equal(packed[name].blocks, layer.blocks) for name, layer in expected.items())
    assert all(torch.equal(changed[name], value) for name, value in expected_changed.items())


def test_what_cannot_be_tuned_is_said_before_the_work(tokens, tmp_path, monkeypatch):
    mixtral = make_model("mixtral", tmp_path / "mixtral")
    with pytest.raises(FineqError, match="is a stack of experts, which tuning cannot train: choose recipe calibrated"):
        opened(mixtral, tokens, tmp_path / "journal", TUNED)
    assert not (tmp_path / "journal").exists()
    only_attention = Options("calibrated", exclude=("*experts*",))
    assert opened(mixtral, tokens, tmp_path / "journal", TUNED, only_attention).done_layers == 0


# -- interruptions ---------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from fineq.blockwise import journal
from fineq.cli import main
save, left = journal.TuningJournal.save, int(sys.argv[1])
def interrupted(self, *rest):
    global left
    self._seconds = 0
    save(self, *rest)
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
journal.TuningJournal.save = interrupted
sys.argv[1:] = sys.argv[2:]
main()
"""


@pytest.mark.parametrize("recipe", ["tuned,steps=5,tokens=128", "tuned-codes,steps=5,tokens=128,windows=2"])
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(quantize, llama, tmp_path, recipe):
    (tmp_path / "text.txt").write_text(TEXT)
    arguments = [str(llama), "--recipe", recipe, "--calibration", str(tmp_path / "text.txt")]
    output = tmp_path / "out" / "q"
    command = [sys.executable, "-c", KILLED, "2", "quantize", *arguments, "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert [path.name for path in output.parent.iterdir()] == ["q.calibration"]
    assert (output.parent / "q.calibration" / "tuning.safetensors").is_file()
    other = [*arguments, "-o", str(output), "--resume"]
    other[2] = recipe.replace("steps=5", "steps=6")
    code, _, error = quantize(*other)
    assert code == 1 and "was begun with another recipe: repeat that run exactly" in error

    code, _, error = quantize(*arguments, "-o", output, "--resume")
    assert code == 0, error
    assert "5/5" in error and "14/14" not in error
    assert quantize(*arguments, "-o", tmp_path / "undisturbed")[0] == 0
    assert files(output) == files(tmp_path / "undisturbed")
    assert [path.name for path in output.parent.iterdir()] == ["q"]


def test_changed_tensors_are_told(quantize, llama, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    recipe = "tuned,steps=2,tokens=64"
    assert quantize(llama, "-o", tmp_path / "q", "--recipe", recipe, "--calibration", tmp_path / "text.txt")[0] == 0
    report = json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    norms = sorted(f"model.layers.{n}.{name}_layernorm.weight" for n in (0, 1) for name in ("input", "post_attention"))
    assert report["changed"] == [*norms, "model.norm.weight"]
    assert report["recipe"] == recipe
    assert not set(report["changed"]) & {kept["tensor"] for kept in report["kept"]}
    card = (tmp_path / "q" / "README.md").read_text()
    assert "## Changed beside the weights" in card and "- `model.norm.weight`" in card
    assert "| tensors kept as they were | 2 |" in card
    stored = {name: value for path in (tmp_path / "q").glob("*.safetensors") for name, value in load_file(path).items()}
    assert all(stored[name].dtype == torch.float32 and (stored[name] != 1).any() for name in report["changed"])


def test_the_memory_of_tuning_counts_before_the_work(tokens, tmp_path, monkeypatch):
    directory = make_model("llama", tmp_path / "model")
    calibration = opened(directory, tokens, tmp_path / "j", TUNED)
    codes, scales = (
        blockwise_memory.tuning_need(calibration.streamed, 4, 64, replace(TUNED.tuning, code_reach=reach))
        for reach in (0.1, 0.0)
    )
    weights = sum(rows * columns for rows, columns in layer_shapes(calibration))
    assert codes - scales == 4 * 4 * weights and calibration.memory >= codes
    monkeypatch.setattr(blockwise_memory, "PROGRAM_BYTES", 0)
    monkeypatch.setattr(blockwise_memory, "available_memory", lambda: 1_000_000)
    with pytest.raises(FineqError, match=r"calibrating with 4 windows takes about 0\.0 GB of memory, and 0\.0 GB are"):
        opened(directory, tokens, tmp_path / "journal", TUNED)
    assert not (tmp_path / "journal").exists()


def layer_shapes(calibration):
    return [find_weight(calibration.streamed.model, name).view().shape for name in calibration.wanted]


def test_too_little_memory_is_one_sentence(quantize, llama, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    arguments = [llama, "-o", tmp_path / "q", "--recipe", "tuned", "--calibration", tmp_path / "text.txt"]
    code, _, error = quantize(*arguments)
    assert code == 1 and error.strip().splitlines()[-1].startswith("error: tuning takes about")
    (tmp_path / "text.txt").write_text("a b c")
    code, _, error = quantize(*arguments[:2], tmp_path / "q2", *arguments[3:])
    assert code == 1 and "the calibration text has 3 tokens, fewer than one window of 63: give a longer text" in error
    code, _, error = quantize(*arguments[:3], "--recipe", "tuned,steps=two", *arguments[5:])
    assert code == 1 and "error: steps is 'two': it must be a whole number" in error
