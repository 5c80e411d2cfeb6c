"""Calibrated recipes block by block from the files: what the whole model in memory would give, in less memory."""

import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import transformers
from helpers.models.calibration import QUICK, TEXT, opened
from helpers.models.tiny_models import LLAMA, files, make_model

from fineq.blockwise import calibrate_blocks, memory
from fineq.calibrated import RECIPES, TrainingOptions, quantize_model
from fineq.checkpoint.planning import Options
from fineq.common.errors import FineqError
from fineq.huggingface.loading import load_model

TRAINED = replace(QUICK, block=TrainingOptions(steps=3, batch=2), name="trained")


@pytest.mark.parametrize("recipe", [QUICK, TRAINED])
@pytest.mark.parametrize("architecture", ["llama-tied", "gpt2", "opt", "gpt_neox", "bloom", "mixtral", "qwen3_moe"])
def test_it_is_what_the_whole_model_in_memory_gives(architecture, recipe, tokens, tmp_path):
    if recipe is TRAINED and architecture in ("opt", "gpt_neox"):
        pytest.skip("training is tested with the others")
    directory = make_model(architecture, tmp_path / "model")
    expected, expected_changed = quantize_model(load_model(directory), tokens, recipe)
    packed, changed = calibrate_blocks(opened(directory, tokens, tmp_path / "journal", recipe))
    assert sorted(packed) == sorted(expected) and sorted(changed) == sorted(expected_changed)
    for name, layer in expected.items():
        assert torch.equal(packed[name].blocks, layer.blocks) and torch.equal(packed[name].scales, layer.scales), name
        assert packed[name].shape == layer.shape and packed[name].recipe == recipe.name
    for name, value in expected_changed.items():
        assert torch.equal(changed[name], value)


def test_one_block_is_in_memory_at_a_time(tokens, tmp_path):
    calibration = opened(make_model("llama", tmp_path / "model"), tokens, tmp_path / "journal")
    model, seen = calibration.streamed.model, []

    def progress(what, done, total):
        present = {name for name, value in model.named_parameters() if not value.is_meta}
        seen.append({".".join(name.split(".")[:3]) for name in present})

    calibrate_blocks(calibration, progress)
    assert seen == [{"model.layers.0"}] * 7 + [{"model.layers.1"}] * 7
    assert all(value.is_meta for value in model.parameters())


def test_a_choice_of_layers(tokens, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    options = Options("calibrated", include=("*.mlp.*",), exclude=("*layers.0.mlp.down*",))
    packed, _ = calibrate_blocks(opened(directory, tokens, tmp_path / "journal", options=options))
    assert sorted(packed) == sorted(
        f"model.layers.{layer}.mlp.{part}_proj"
        for layer, parts in ((0, ("gate", "up")), (1, ("gate", "up", "down")))
        for part in parts
    )
    expected, _ = quantize_model(load_model(directory), tokens, QUICK, wanted=set(packed))
    assert all(torch.equal(packed[name].blocks, layer.blocks) for name, layer in expected.items())
    mixtral = make_model("mixtral", tmp_path / "mixtral")
    with pytest.raises(FineqError, match="w1.weight is kept, and what it is joined with is not: a calibrated recipe"):
        opened(mixtral, tokens, tmp_path / "j2", options=Options("calibrated", exclude=("*experts.1.w1*",)))


def test_a_model_whose_blocks_take_what_depends_on_the_text(tokens, tmp_path):
    """Zamba hands the embeddings of the text to every block."""
    sizes = LLAMA | dict(num_hidden_layers=3, num_key_value_heads=4, n_mamba_heads=2, mamba_d_state=16)
    config = transformers.ZambaConfig(**sizes, tie_word_embeddings=False)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    message = "the blocks of ZambaForCausalLM take original_hidden_states, which depends on the text that"
    with pytest.raises(FineqError, match=message):
        opened(tmp_path / "model", tokens, tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


# -- memory ----------------------------------------------------------------------------------------------------


def test_too_little_memory_is_said_before_the_work(tokens, tmp_path, monkeypatch):
    directory = make_model("llama", tmp_path / "model")
    monkeypatch.setattr(memory, "available_memory", lambda: 300_000_000)
    message = r"calibrating with 4 windows takes about 0\.4 GB of memory, and 0\.3 GB are free: end other programs, or"
    with pytest.raises(FineqError, match=message):
        opened(directory, tokens, tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_windows_are_spread_over_the_text(tokens, tmp_path):
    calibration = opened(make_model("llama", tmp_path / "model"), tokens, tmp_path / "journal", windows=2)
    assert torch.equal(calibration.windows[:, 1:], tokens[: 4 * 63].view(4, 63)[[0, 3]])


# -- interruptions ---------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from fineq.blockwise.journal import BlockJournal
from fineq.cli import main
write, left = BlockJournal.write, int(sys.argv[1])
def interrupted(self, number, *rest):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, number, *rest)
BlockJournal.write = interrupted
sys.argv[1:] = sys.argv[2:]
main()
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(quantize, llama, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    arguments = [str(llama), "--recipe", "calibrated", "--calibration", str(tmp_path / "text.txt")]
    output = tmp_path / "out" / "q"
    command = [sys.executable, "-c", KILLED, "1", "quantize", *arguments, "-o", str(output)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == -signal.SIGKILL, result.stderr
    assert [path.name for path in output.parent.iterdir()] == ["q.calibration"]
    assert (output.parent / "q.calibration" / "block-0000.safetensors").is_file()

    code, _, error = quantize(*arguments, "-o", output)
    assert code == 1 and "q.calibration holds an unfinished run: add --resume to go on with it, or remove" in error
    (tmp_path / "other.txt").write_text(TEXT[::-1])
    other = [*arguments[:-1], str(tmp_path / "other.txt")]
    code, _, error = quantize(*other, "-o", output, "--resume")
    assert code == 1 and "was begun with another calibration text: repeat that run exactly" in error
    code, _, error = quantize(*arguments, "-o", output, "--resume", "--exclude", "*down*")
    assert code == 1 and "was begun with another choice of layers: repeat that run exactly" in error

    code, _, error = quantize(*arguments, "-o", output, "--resume")
    assert code == 0, error
    assert "8/14" in error or "14/14" in error
    assert quantize(*arguments, "-o", tmp_path / "undisturbed")[0] == 0
    assert files(output) == files(tmp_path / "undisturbed")
    assert [path.name for path in output.parent.iterdir()] == ["q"]


def test_a_damaged_journal_is_said(tokens, tmp_path):
    directory, journal = make_model("llama", tmp_path / "model"), tmp_path / "journal"
    calibrate_blocks(opened(directory, tokens, journal))
    assert json.loads((journal / "run.json").read_text()).keys() >= {"model", "recipe", "calibration text", "version"}
    assert opened(directory, tokens, journal, resume=True).finished == 2
    (journal / "windows.safetensors").write_bytes(b"no such file")
    with pytest.raises(FineqError, match=r"cannot read .*windows.safetensors.*remove .* and start again without"):
        opened(directory, tokens, journal, resume=True)


def test_recipes_that_train_the_whole_model_are_no_work_for_blocks(tokens, tmp_path):
    directory = make_model("llama", tmp_path / "model")
    with pytest.raises(FineqError, match="recipe distilled trains the whole model at once: it cannot work block by"):
        opened(directory, tokens, tmp_path / "journal", RECIPES["distilled"])
