"""Greedy continuations: what the command prints is what transformers says."""

import pytest
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq

from fineq.common.errors import FineqError
from fineq.evaluation.generation import continuation
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.locations import shipped_model_path

STORY = "Once upon a time"


def test_the_command_prints_and_writes_what_the_model_says(tmp_path):
    path = shipped_model_path()
    text = continuation(load_model(path), load_tokenizer(path), STORY, 20)
    assert text.startswith(STORY) and len(text.split()) > 12
    outcome = run_fineq("generate", path, path, "--tokens", 20, "-o", tmp_path / "said.md")
    assert outcome.code == 0 and outcome.stdout == 2 * f"storyteller: {text}\n\n"
    assert (tmp_path / "said.md").read_text().count(f"## storyteller\n\n```\n{text}\n```") == 2


def test_the_context_is_the_end(tmp_path):
    path = make_model("llama", tmp_path / "model")
    model, tokenizer = load_model(path), load_tokenizer(path)
    assert len(tokenizer(continuation(model, tokenizer, "a b", 90))["input_ids"]) <= 64
    with pytest.raises(FineqError, match="the prompt has 91 tokens, all of the model's context of 64: give a shorter"):
        continuation(model, tokenizer, "a b " * 45, 3)
    outcome = run_fineq("generate", path, "-o", tmp_path / "none" / "said.md")
    assert outcome.code == 1 and outcome.stderr.startswith("error: cannot write")
