"""Evaluating methods on the shipped model: their order, the result file and the command."""

import json
import os
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq.common.errors import FineqError
from fineq.evaluation.evaluate import evaluate, write_evaluations
from fineq.evaluation.methods import find_method, method_names
from fineq.evaluation.perplexity import read_text, shipped_text_path
from fineq.models.locations import shipped_model_path


def test_methods_in_the_order_of_the_paper_on_the_shipped_model():
    text = read_text(shipped_text_path())
    results = {
        name: evaluate(shipped_model_path(), text, find_method(name), sequence_length=256)
        for name in ("none", "mse", "paper", "rtn", "uniform")
    }
    values = [result.result.perplexity for result in results.values()]
    assert values == sorted(values) and values[0] < 30
    assert results["none"].bits_per_weight is None and results["none"].quantized_layers == 0
    assert results["paper"].quantized_layers == 28
    assert results["mse"].normalised_error < results["paper"].normalised_error < results["uniform"].normalised_error
    assert results["paper"].nominal_bits == pytest.approx(2 + 1 / 3)
    assert 2.3 < results["paper"].bits_per_weight < 3
    assert len({(r.model_fingerprint, r.text_sha256) for r in results.values()}) == 1


def test_unknown_method_and_dtype_are_refused():
    with pytest.raises(FineqError, match="unknown recipe 'best': choose one of none, paper, .*rtn, uniform"):
        find_method("best")
    text = read_text(shipped_text_path())
    with pytest.raises(FineqError, match="dtype is 'int8': choose one of float32, bfloat16, float16"):
        evaluate(shipped_model_path(), text, find_method("none"), dtype="int8")
    assert {"none", "paper", "mse", "rtn", "uniform"} <= set(method_names())


def test_results_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    result = evaluate(shipped_model_path(), read_text(shipped_text_path()), find_method("none"), 128, max_windows=2)
    path = tmp_path / "result.json"
    write_evaluations([result], path)
    first = path.read_bytes()
    content = json.loads(first)["results"][0]
    assert content["model"] == "storyteller" and content["text"] == "evaluation_text.txt"
    assert content["result"]["windows"] == 2 and content["result"]["bos"] == "window"
    assert content["result"]["nll"] == pytest.approx(result.result.nll, rel=1e-4)
    write_evaluations([result], path)
    assert path.read_bytes() == first and [p.name for p in tmp_path.iterdir()] == ["result.json"]
    with pytest.raises(FineqError, match="cannot write .*: No such file or directory"):
        write_evaluations([result], tmp_path / "absent" / "result.json")

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FineqError, match="cannot write .*result.json: No space left on device"):
        write_evaluations([], path)
    assert path.read_bytes() == first and [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_command_prints_a_table_and_writes_the_results(tmp_path):
    options = ["--recipe", "none", "--recipe", "paper", "--sequence-length", 128, "--windows", 4]
    code, output, _ = run_fineq("eval", *options, "-o", tmp_path / "r.json")
    assert code == 0
    assert "model    storyteller, float32" in output and "FineQ, recipe paper" in output
    assert "windows  4 of 128 tokens, stride 127, bos window, 508 tokens scored" in output
    assert [r["method"] for r in json.loads((tmp_path / "r.json").read_text())["results"]] == ["none", "paper"]


@pytest.mark.parametrize(
    "options, text",
    [
        (["--recipe", "best"], "error: unknown recipe 'best': choose one of"),
        (["absent"], "error: absent does not exist: give a model directory, or a hub id"),
        (["--text", "absent.txt"], "error: cannot read the text absent.txt: No such file or directory"),
        (["--sequence-length", "4096"], "error: sequence length 4096 is impossible: the model takes 2 to 512 tokens"),
    ],
)
def test_command_refuses_bad_input_in_one_sentence(monkeypatch, tmp_path, options, text):
    monkeypatch.chdir(tmp_path)
    code, _, error = run_fineq("eval", *options, "-o", tmp_path / "r.json")
    assert code == 1 and error.startswith(text) and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_models_by_others(tmp_path):
    folder = os.environ.get("FINEQ_MODELS")
    if not folder:
        pytest.skip("FINEQ_MODELS does not name a directory of model directories")
    text = read_text(shipped_text_path())
    for path in sorted(Path(folder).iterdir()):
        if (path / "config.json").exists():
            values = [evaluate(path, text, find_method(name)).result.perplexity for name in ("none", "paper", "rtn")]
            assert values == sorted(values), path.name
