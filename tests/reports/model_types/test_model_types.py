"""Model types through FineQ and back: kinds of models that once loaded wrong or were refused for no reason."""

import json
import os
import time
from pathlib import Path

import pytest
import torch
from helpers.models.tiny_models import LLAMA
from helpers.running.command_line import run_fineq
from transformers import LlamaConfig, LlamaForCausalLM

from fineq.models.routers import BORROWED, NO_PRODUCT, TIED
from fineq_reports.model_types import sweep as sweeping
from fineq_reports.model_types.outcome import REFUSED, UNTRIED, WORKS, WRONG, Outcome, regressions
from fineq_reports.model_types.page import as_markdown
from fineq_reports.model_types.probe import _rounding, probe
from fineq_reports.model_types.settings import SETTINGS
from fineq_reports.model_types.sweep import all_types, sweep
from fineq_reports.model_types.tiny import run

PUBLISHED = Path(__file__).parents[3] / "docs" / "results" / "model-types.json"

KINDS = {
    "mamba": BORROWED,  # dt_proj.weight @ x
    "rwkv": BORROWED,  # weights are divided in place
    "deepseek_v4": NO_PRODUCT,  # a linear layer by groups
    "zamba": TIED,  # blocks that share their weights
    "mamba2": None,  # infinite numbers in config.json
    "xlstm": None,  # blocks in a place of their own
    "mpt": None,
    "qwen3_next": None,  # convolutions between linear layers
    "llama4_text": "stack of matrices in a layout that FineQ does not know (Llama4TextExperts)",
    "jetmoe": "stack of matrices in a layout that FineQ does not know (JetMoeParallelExperts)",
}


@pytest.mark.parametrize("model_type", KINDS)
def test_kinds(model_type):
    outcome = probe(model_type)
    assert (outcome.result, outcome.reason) == (WORKS, "")
    assert KINDS[model_type] is None or KINDS[model_type] in outcome.kept
    assert outcome.packed > 0


def test_embeddings_with_a_scale_stay():
    """Gemma multiplies what it looks up; a packed embedding would not."""
    outcome = probe("gemma")
    assert outcome.result == WORKS and "no plain embedding and output head" in outcome.embeddings


def test_untying_more_than_the_head_is_refused():
    assert "unties all weights of a model or none" in probe("bert").embeddings


def test_why_there_is_no_tiny_model_is_told():
    """The sizes of gemma4_assistant's text part must be zero; it once said 'no candidate'."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(SETTINGS, "gemma4_assistant")
        outcome = probe("gemma4_assistant")
    assert outcome.result == UNTRIED and "hidden_size_per_layer_input must be 0" in outcome.reason


def test_another_kind_of_model_is_refused_with_the_reason():
    outcome = probe("t5")
    assert outcome.result == REFUSED and "no causal language model of the model_type 't5'" in outcome.reason


def test_a_type_that_ends_its_process_ends_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sweeping, "_work", die)
    (outcome,) = sweep(["llama"], tmp_path, jobs=1)
    assert (outcome.result, outcome.reason) == (WRONG, "its process ended with exit code 7")
    assert json.loads((tmp_path / "progress.json").read_text())["outcomes"] == [outcome.as_dict()]
    monkeypatch.setattr(sweeping, "_work", None)
    assert sweep(["llama"], tmp_path) == [outcome]


def die(model_type, sender):
    os._exit(7)


def test_a_type_that_takes_too_long_is_given_up(tmp_path, monkeypatch):
    """By CPU time: on a busy machine every type takes long."""
    monkeypatch.setattr(sweeping, "_work", never_end)
    monkeypatch.setattr(sweeping, "SECONDS", 1)
    (outcome,) = sweep(["llama"], tmp_path, jobs=1)
    assert (outcome.result, outcome.reason) == (UNTRIED, "it takes more than 1 s of CPU time")
    monkeypatch.setattr(sweeping, "_work", wait)
    (outcome,) = sweep(["opt"], tmp_path, jobs=1)
    assert outcome.result == WORKS


def never_end(model_type, sender):
    while True:
        pass


def wait(model_type, sender):
    time.sleep(2)
    sender.send(Outcome(model_type, WORKS).as_dict())


def test_what_no_longer_works_is_told():
    before = [Outcome("a", WORKS), Outcome("b", WORKS), Outcome("c", REFUSED), Outcome("d", UNTRIED)]
    after = [Outcome("a", WORKS), Outcome("b", REFUSED, "why"), Outcome("c", WRONG, "how"), Outcome("d", UNTRIED)]
    assert regressions(before, after) == ["b worked and is refused: why", "c is wrong: how"]
    assert not regressions(before, before)


def test_the_page_shows_every_type():
    outcomes = [Outcome("a", WORKS, packed=0.5, kept={"why": 2}, embeddings=WORKS), Outcome("b", REFUSED, "because")]
    page = as_markdown(outcomes)
    assert "| a " in page and "50%" in page and "why (2)" in page and "because" in page


def test_a_type_that_is_unknown_is_refused(tmp_path):
    result = run_fineq("model-types", "--only", "llamma", "--output", tmp_path)
    assert result.code == 1 and "no model type 'llamma' that writes text" in result.stderr


@pytest.mark.regress
def test_a_model_that_blows_up_errors_of_rounding_is_not_wrong():
    """Its float32 logits are 2e-3 from those in float64, whether it is packed or not."""
    outcome = probe("hrm_text")
    assert (outcome.result, outcome.reason) == (WORKS, "")


def test_the_error_of_rounding():
    model = LlamaForCausalLM(LlamaConfig(**LLAMA)).eval()
    logits = run(model)
    assert 0 < _rounding(model, logits) < 1e-4
    assert _rounding(model, logits + 1) == pytest.approx(1, abs=1e-4)
    model.lm_head.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    assert _rounding(model, logits) == 0  # it does not run in float64
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.regress
def test_every_type_that_worked_works(tmp_path):
    assert PUBLISHED.is_file(), "copy what `fineq model-types` writes to docs/results"
    published = [Outcome(**line) for line in json.loads(PUBLISHED.read_text(encoding="utf-8"))["outcomes"]]
    outcomes = sweep(all_types(), tmp_path)
    assert not regressions(published, outcomes)
