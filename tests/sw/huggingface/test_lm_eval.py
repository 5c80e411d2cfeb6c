"""Zero-shot tasks: lm-eval runs on a packed checkpoint after one import (docs/quantizer/evaluation.md)."""

import json
from pathlib import Path

import pytest

import fineq
import fineq.huggingface
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.locations import shipped_model_path

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install lm_eval")
ROOT = Path(__file__).parents[3]


def log_likelihoods(model, monkeypatch, **settings):
    """Of every answer of the local task, and the results."""
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(ROOT)  # the task names its file from there
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = lm_eval.simple_evaluate(
        "hf", {"pretrained": model, "dtype": "float32", **settings}, ["everyday"], device="cpu", batch_size=8,
        task_manager=TaskManager(include_path="tests/tasks", include_defaults=False), bootstrap_iters=0,
    )  # fmt: skip
    samples = sorted(found["samples"]["everyday"], key=lambda sample: sample["doc_id"])
    return [answer[0] for sample in samples for answer in sample["filtered_resps"]], found["results"]["everyday"]


def test_a_packed_checkpoint_answers_as_its_weights_do(tmp_path, monkeypatch):
    fineq.quantize_model(shipped_model_path(), tmp_path / "q", "mse", check=False)
    packed, results = log_likelihoods(str(tmp_path / "q"), monkeypatch)
    plain, tokenizer = load_model(tmp_path / "q").dequantize(), load_tokenizer(tmp_path / "q")
    assert packed == pytest.approx(log_likelihoods(plain, monkeypatch, tokenizer=tokenizer)[0], rel=1e-4)
    assert packed != pytest.approx(log_likelihoods(str(shipped_model_path()), monkeypatch)[0], rel=1e-2)
    assert len(packed) == 160 and 0.3 < results["acc,none"] < 1


def test_the_task_is_fair():
    """Four different ends each, and the right one in every place about as often."""
    lines = (ROOT / "tests" / "tasks" / "everyday.jsonl").read_text().splitlines()
    questions = [json.loads(line) for line in lines]
    assert len(questions) == 40 and all(len(set(question["ends"])) == 4 for question in questions)
    assert all(5 <= sum(question["right"] == place for question in questions) <= 15 for place in range(4))
