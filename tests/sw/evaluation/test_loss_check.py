"""The check of a quantized model: what it measures, what it says when it cannot, and where its limit lies."""

import json
import os
from pathlib import Path

import pytest
from helpers.models.damaged_models import with_outlier_channels
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq

from fineq.checkpoint.loss_check import LARGEST_LOSS, LossCheck
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.evaluation import loss_check
from fineq.evaluation.loss_check import check_loss
from fineq.evaluation.perplexity import Text, read_text, shipped_text_path
from fineq.models.locations import further_models, shipped_model_path

TEXT = read_text(shipped_text_path())


def quantized(model: Path, output: Path, recipe: str = "mse") -> LossCheck:
    source, found = open_source(model), []

    def check(directory: Path) -> LossCheck:
        found.append(check_loss(source, directory, TEXT))
        return found[-1]

    quantize_checkpoint(source, output, Options(recipe), check=check)
    return found[0]


def test_the_shipped_model_survives(tmp_path):
    outcome = quantized(shipped_model_path(), tmp_path / "q")
    assert 0.1 < outcome.lost < 0.4 and not outcome.is_destroyed and outcome.tokens == 510
    assert outcome.warning("mse", True) is None
    written = json.loads((tmp_path / "q" / "fineq_report.json").read_text())["check"]
    assert written["measured"] and not written["likely_destroyed"] and written["nats_lost"] == round(outcome.lost, 2)
    card = (tmp_path / "q" / "README.md").read_text()
    assert f"{outcome.lost:+.2f} nats per token over 510 tokens of evaluation_text.txt" in card
    assert "WARNING" not in card


def test_a_destroyed_model_is_told(tmp_path):
    model = with_outlier_channels(tmp_path / "model")
    outcome = run_fineq("quantize", model, "-o", tmp_path / "q", "--recipe", "mse")
    assert outcome.code == 0 and (tmp_path / "q" / "model.safetensors").is_file()
    warning = outcome.stderr.splitlines()[-1]
    assert warning.startswith("WARNING: this model is likely destroyed by recipe mse: perplexity 23.2 before, ")
    assert "--recipe calibrated --calibration FILE" in warning and "\x1b" not in warning
    card = (tmp_path / "q" / "README.md").read_text()
    assert "> [!WARNING]\n> This model is likely destroyed by recipe mse" in card
    assert json.loads((tmp_path / "q" / "fineq_report.json").read_text())["check"]["likely_destroyed"]


def test_the_warning_is_red_on_a_terminal(monkeypatch, capsys):
    from fineq.commands.notes import warn

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    warn("it is destroyed")
    printed = capsys.readouterr()
    assert "\x1b[1;31mWARNING: it is destroyed\x1b[0m" in printed.err and printed.out == ""


def test_no_check(tmp_path):
    outcome = run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "q", "--no-check")
    assert outcome.code == 0 and "perplexity" not in outcome.stdout
    assert "check" not in json.loads((tmp_path / "q" / "fineq_report.json").read_text())
    outcome = run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "q2", "--no-check", "--text", "a.txt")
    assert outcome == (1, "", "error: --text is for the check: leave it or --no-check out\n")
    outcome = run_fineq("quantize", shipped_model_path(), "-o", tmp_path / "q2", "--text", tmp_path / "a.txt")
    assert outcome.code == 1 and "cannot read the text" in outcome.stderr and not (tmp_path / "q2").exists()


def without_tokenizer(directory: Path) -> Path:
    make_model("llama", directory)
    for path in directory.glob("tokenizer*"):
        path.unlink()
    return directory


@pytest.mark.parametrize("problem", ["tokenizer", "memory", "text", "surprise"])
def test_not_measured(problem, tmp_path, monkeypatch):
    text = TEXT
    if problem == "tokenizer":
        model, reason = without_tokenizer(tmp_path / "model"), "no tokenizer that can be loaded"
    elif problem == "surprise":  # random weights
        model, reason = make_model("llama", tmp_path / "model"), "the original itself cannot foretell"
    else:
        model = shipped_model_path()
        reason = {"memory": "it takes 0.0 GB of memory, more than half of", "text": "tokens: give a text of at"}[
            problem
        ]
    if problem == "memory":
        monkeypatch.setattr(loss_check, "available_memory", lambda: 1000)
    if problem == "text":
        text = Text("short.txt", "Once upon a time", 1, "as it is")
    source = open_source(model)
    outcome = check_loss(source, tmp_path / "none", text)
    assert outcome.lost is None and not outcome.is_destroyed and reason in outcome.problem, outcome
    assert outcome.sentence() == f"effect on the model not measured: {outcome.problem}"
    assert outcome.to_json() == {"measured": False, "why_not": outcome.problem}


def test_a_copy_that_cannot_be_loaded_is_a_warning(tmp_path):
    outcome = check_loss(open_source(shipped_model_path()), tmp_path / "none", TEXT)
    assert outcome.is_destroyed and "gives no finite loss" in outcome.warning("mse", True)
    json.dumps(outcome.to_json(), allow_nan=False)


def test_a_large_model_sees_less_text(monkeypatch, tmp_path):
    monkeypatch.setattr(loss_check, "MULTIPLICATIONS", 1e6)
    assert quantized(shipped_model_path(), tmp_path / "q").tokens == loss_check.FEWEST_TOKENS - 1


DESTROYED = {"stories260k": 2.68, "tinystories-656k": 1.12, "smollm2-135m": 8.17}
"""Models of others and what `mse` costs them, nats per token (docs/quantizer/models.md)."""


@pytest.mark.skipif("FINEQ_MODELS" not in os.environ, reason="FINEQ_MODELS names no models of others")
def test_the_limit_on_models_of_others(tmp_path):
    for model in (path for path in further_models() if path.name in DESTROYED):
        outcome = quantized(model, tmp_path / model.name)
        assert outcome.is_destroyed and outcome.lost == pytest.approx(DESTROYED[model.name], abs=0.3), model.name


def test_limit():
    assert not LossCheck(3.0, 3.0 + LARGEST_LOSS - 0.01, 10, "a").is_destroyed
    assert LossCheck(3.0, 3.0 + LARGEST_LOSS + 0.01, 10, "a").is_destroyed
    assert LossCheck(3.0, float("inf"), 10, "a", "overflow").is_destroyed
    assert not LossCheck(3.0, 2.5, 10, "a").is_destroyed
    assert "nonsense. Calibrate with more text" in LossCheck(1.0, 9.0, 10, "a").warning("calibrated", False)
