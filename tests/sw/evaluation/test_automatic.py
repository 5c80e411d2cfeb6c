"""`fineq quantize` without a recipe: data-free if the model survives it; if not, a calibration text is asked for."""

import inspect
import json
import signal
import subprocess
import sys

import pytest
from helpers.models.damaged_models import with_outlier_channels
from helpers.models.tiny_models import files, make_model
from helpers.running.command_line import run_fineq

import fineq
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.commands.quantize import quantize
from fineq.evaluation import loss_check
from fineq.evaluation.automatic import choose_recipe
from fineq.evaluation.loss_check import check_loss, try_recipe
from fineq.evaluation.perplexity import read_text, shipped_calibration_path, shipped_text_path
from fineq.models.locations import shipped_model_path
from fineq.quantizer.defaults import AUTO_RECIPE

TEXT = read_text(shipped_text_path())
WITH_TEXT = ("--calibration", shipped_calibration_path())


@pytest.fixture(scope="module")
def fragile(tmp_path_factory):
    """A model that `mse` destroys and `calibrated` does not."""
    return with_outlier_channels(tmp_path_factory.mktemp("fragile") / "model", factor=8)


@pytest.fixture(scope="module")
def calibrated(fragile, tmp_path_factory):
    """What the command makes of it, and what it says."""
    output = tmp_path_factory.mktemp("made") / "q"
    return output, run_fineq("quantize", fragile, "-o", output, *WITH_TEXT)


def recipe_of(directory):
    return json.loads((directory / "config.json").read_text())["quantization_config"]["recipe"]


def test_a_model_that_survives_needs_no_data(tmp_path):
    outcome = run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "q")
    assert outcome.code == 0, outcome.stderr
    assert recipe_of(tmp_path / "q") == "mse" and "calibrating" not in outcome.stderr
    assert "measuring what mse, which needs no data, costs on evaluation_text.txt" in outcome.stderr
    assert "recipe mse, chosen because it needs no data and costs less than 1 nat per token" in outcome.stdout
    report = json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    assert report["recipe"] == report["choice_of_recipe"]["recipe"] == "mse"
    assert report["choice_of_recipe"]["data_free_recipe"] == report["check"]
    run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "named", "--recipe", "mse")
    assert files(tmp_path / "q")["model.safetensors"] == files(tmp_path / "named")["model.safetensors"]
    assert "choice_of_recipe" not in json.loads((tmp_path / "named" / "fineq_report.json").read_text())


def test_a_model_that_would_be_destroyed_needs_a_text(tmp_path, fragile):
    outcome = run_fineq("quantize", fragile, "-o", tmp_path / "q")
    assert outcome.code == 1 and not list(tmp_path.iterdir())
    sentence = outcome.stderr.splitlines()[-1]
    assert sentence.startswith("error: mse, which needs no data, would destroy this model: perplexity 23.2 before, ")
    assert "Add --calibration FILE, about a megabyte of text" in sentence and "or --recipe mse to have it" in sentence


def test_with_a_text_it_is_calibrated(calibrated):
    output, outcome = calibrated
    assert outcome.code == 0, outcome.stderr
    assert recipe_of(output) == "calibrated" and "WARNING" not in outcome.stderr
    told = outcome.stderr.index("recipe calibrated, chosen because there is a calibration text")
    assert told < outcome.stderr.index("tokens of calibration_text.txt, in about ") < outcome.stderr.index("layers")
    report = json.loads((output / "fineq_report.json").read_text())
    assert report["choice_of_recipe"] == {"recipe": "calibrated", "why": "there is a calibration text"}
    assert not report["check"]["likely_destroyed"]
    assert "Recipe `calibrated`, chosen because there is a calibration text" in (output / "README.md").read_text()
    assert sorted(path.name for path in output.parent.iterdir()) == ["q"]


def test_the_trial_is_what_the_written_model_shows(tmp_path, fragile):
    """Also when only some of the layers are quantized."""
    for number, options in enumerate((Options(), Options(exclude=("*.mlp.*",)))):
        source = open_source(fragile)
        plan = make_plan(source, options, "row")
        tried = try_recipe(source, plan, "mse", TEXT)
        arguments = [word for pattern in options.exclude for word in ("--exclude", pattern)]
        output = tmp_path / str(number)
        assert run_fineq("quantize", fragile, "-o", output, "--recipe", "mse", *arguments).code == 0
        assert tried.to_json() == json.loads((output / "fineq_report.json").read_text())["check"]
        assert check_loss(source, output, TEXT, before=tried).to_json() == tried.to_json()


def test_a_named_recipe_is_kept_and_warned_of(tmp_path, fragile):
    outcome = run_fineq("quantize", fragile, "-o", tmp_path / "q", "--recipe", "mse")
    assert outcome.code == 0 and recipe_of(tmp_path / "q") == "mse"
    assert outcome.stderr.splitlines()[-1].startswith("WARNING: this model is likely destroyed by recipe mse")


def test_windows_are_of_the_calibration_text(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT.content)
    arguments = ["--calibration", tmp_path / "text.txt", "--windows", "2"]
    outcome = run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "q", *arguments)
    assert outcome.code == 0, outcome.stderr
    assert recipe_of(tmp_path / "q") == "calibrated"
    assert "calibrating with 2 windows of 512 tokens of text.txt, in about " in outcome.stderr
    outcome = run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "r", "--calibration", tmp_path / "none")
    assert outcome.code == 1 and outcome.stderr.startswith(f"error: {tmp_path / 'none'} does not exist")


@pytest.mark.parametrize("case", ["no check", "embeddings", "unknown words"])
def test_where_nothing_can_be_measured_no_data_is_needed(case, tmp_path):
    arguments = {"no check": ["--no-check"], "embeddings": ["--embeddings"]}.get(case, [])
    why = {
        "no check": "nothing was to be measured",
        "embeddings": "recipes with calibration do not quantize embeddings and output head",
        "unknown words": "the model could not be measured: the original itself cannot foretell",
    }
    model = make_model("llama", tmp_path / "model")
    outcome = run_fineq("quantize", model, "-o", tmp_path / "q", *arguments)
    assert outcome.code == 0 and recipe_of(tmp_path / "q") == "mse"
    assert f"recipe mse, chosen because {why[case]}" in outcome.stdout


def test_weights_that_are_no_numbers_say_nothing_about_a_recipe(monkeypatch):
    source = open_source(shipped_model_path())

    def fails(*arguments):
        raise fineq.FineqError("layer[0, 0] is NaN")

    monkeypatch.setattr(loss_check, "fake_quantize_model", fails)
    choice = choose_recipe(source, make_plan(source, Options(), "row"), Options(), TEXT)
    assert choice.recipe == "mse" and "it cannot be quantized in memory: layer[0, 0] is NaN" in choice.why


KILLED = """
import os, sys
from fineq.blockwise.journal import BlockJournal
from fineq.cli import main
write = BlockJournal.write
def last(self, number, *arguments):
    write(self, number, *arguments)
    if number == 1:
        os.kill(os.getpid(), 9)
BlockJournal.write = last
sys.argv[1:1] = ["quantize"]
main()
"""


def test_a_killed_run_goes_on(tmp_path, fragile, calibrated):
    command = [sys.executable, "-c", KILLED, fragile, "-o", tmp_path / "q", *WITH_TEXT]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "q").exists()
    assert run_fineq("quantize", fragile, "-o", tmp_path / "q", "--resume", *WITH_TEXT).code == 0
    assert files(tmp_path / "q") == files(calibrated[0])


def test_python_has_the_same_default(tmp_path, fragile, calibrated):
    defaults = {
        inspect.signature(function).parameters["recipe"].default for function in (quantize, fineq.quantize_model)
    }
    assert defaults == {AUTO_RECIPE}
    with pytest.raises(fineq.FineqError, match="mse, which needs no data, would destroy this model"):
        fineq.quantize_model(fragile, tmp_path / "q")
    made = fineq.quantize_model(fragile, tmp_path / "q", calibration=shipped_calibration_path())
    assert made.recipe == made.choice.recipe == "calibrated" and made.choice.tried is None
    assert not made.check.is_destroyed and made.warnings() == []
    assert files(tmp_path / "q") == files(calibrated[0])
