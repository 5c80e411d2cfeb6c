"""Measuring a model that is stored quantized: it is what it is, and nothing is applied to it again."""

import hashlib
import json
import math

import pytest
import torch
from helpers.models.tiny_models import make_model
from helpers.running.command_line import run_fineq
from safetensors.torch import load_file

from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.evaluation.methods import find_method
from fineq.evaluation.stored_methods import method_for
from fineq.models.locations import shipped_model_path
from fineq.models.stored import stored_quantization


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stored") / "packed"
    results = quantize_checkpoint(open_source(shipped_model_path()), directory, Options(recipe="paper"))
    return directory, results


def test_eval_names_the_stored_recipe_and_its_bits(packed, tmp_path):
    directory, results = packed
    output = tmp_path / "results.json"
    code, shown, _ = run_fineq("eval", directory, "--windows", 1, "--sequence-length", 64, "-o", output)
    assert code == 0
    assert "FineQ, recipe paper, as stored" in shown and "not quantized" not in shown
    (measured,) = json.loads(output.read_text())["results"]
    weights = sum(math.prod(result.shape) for result in results)
    bits = sum(result.bits_per_weight * math.prod(result.shape) for result in results) / weights
    assert measured["method"] == "paper" and measured["quantized_layers"] == len(results)
    assert measured["bits_per_weight"] == pytest.approx(bits, abs=1e-5)
    error = sum(r.measures.normalised_error * math.prod(r.shape) for r in results) / weights
    assert measured["normalised_error"] == pytest.approx(error, abs=1e-5)


def test_eval_with_int8_activations(packed, tmp_path):
    directory, _ = packed
    found = []
    for activation in ("float", "int8"):
        output = tmp_path / f"{activation}.json"
        options = ("--windows", 1, "--sequence-length", 64, "--activation", activation, "-o", output)
        code, shown, _ = run_fineq("eval", directory, *options)
        assert code == 0 and ("int8 activations" in shown) == (activation == "int8")
        (measured,) = json.loads(output.read_text())["results"]
        assert measured["activation"] == activation
        found.append(measured["result"]["nll"])
    assert found[0] != found[1] and found[1] == pytest.approx(found[0], rel=0.02)
    code, _, complaint = run_fineq("eval", shipped_model_path(), "--activation", "int8")
    assert code == 1 and "has no packed linear layer" in complaint
    code, _, complaint = run_fineq("eval", directory, "--activation", "int7")
    assert (code, complaint) == (1, "error: activation is 'int7': choose one of float, int8\n")


@pytest.mark.parametrize("recipe", ["paper", "gptq", "calibrated"])
def test_no_other_method_is_applied(packed, recipe):
    directory, _ = packed
    code, _, error = run_fineq("eval", directory, "--recipe", "none", "--recipe", recipe)
    assert code == 1 and f"is quantized already (recipe paper), so {recipe} would work on what that left" in error
    with pytest.raises(FineqError, match="quantized already"):
        method_for(directory, find_method(recipe))


def test_without_the_report_the_error_is_not_known(packed, tmp_path):
    directory, _ = packed
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    stored = stored_quantization(tmp_path)
    assert stored.recipe == "paper" and {tensor.normalised_error for tensor in stored.tensors} == {None}


def test_models_of_other_quantizers(tmp_path):
    (tmp_path / "config.json").write_text('{"quantization_config": {"quant_method": "gptq", "bits": 2}}')
    method = method_for(tmp_path, find_method("none"))
    assert method.title == "gptq, as stored" and method.nominal_bits is None
    with pytest.raises(FineqError, match=r"quantized already \(gptq\)"):
        method_for(tmp_path, find_method("paper"))


def test_full_precision_models_are_left_alone(tmp_path):
    assert stored_quantization(shipped_model_path()) is None and stored_quantization(tmp_path) is None
    method = find_method("none")
    assert method_for(shipped_model_path(), method) is method


def test_eval_says_what_a_calibrated_checkpoint_was_fitted_to(tmp_path):
    model, text, packed = make_model("llama", tmp_path / "model"), tmp_path / "words.txt", tmp_path / "packed"
    text.write_text("a b c d e f g h " * 40)
    given = ["--recipe", "calibrated", "--calibration", text, "--windows", 3, "--no-check"]
    assert run_fineq("quantize", model, "-o", packed, *given).code == 0
    output = tmp_path / "results.json"
    code, shown, error = run_fineq("eval", packed, "--text", text, "--windows", 1, "-o", output)
    assert code == 0, error
    digest, length = hashlib.sha256(text.read_bytes()).hexdigest(), 64
    (measured,) = json.loads(output.read_text())["results"]
    fields = ("method", "calibration", "calibration_sha256", "calibration_windows", "calibration_window_length")
    assert [measured[field] for field in fields] == ["calibrated", "words.txt", digest, 3, length]
    assert (
        f"stored   recipe calibrated, calibrated on words.txt, 3 windows of {length} tokens, sha256 {digest[:16]}, "
        "as the checkpoint says" in shown
    )
    assert f"Recipe `calibrated`, calibrated on 3 windows of {length} tokens of words.txt (SHA-256 {digest})" in (
        packed / "README.md"
    ).read_text(encoding="utf-8")


def test_a_checkpoint_that_names_no_calibration(packed, tmp_path):
    directory, _ = packed
    assert method_for(directory, find_method("none")).stored_calibration is None
    (tmp_path / "config.json").write_bytes((directory / "config.json").read_bytes())
    for report in ('{"calibration": {"words": 3}}', '{"calibration": "text"}', "[]"):
        (tmp_path / "fineq_report.json").write_text(report)
        assert stored_quantization(tmp_path).calibration is None


def test_the_calibration_text_is_read_by_its_kind(tmp_path):
    """`fineq quantize` looks at the texts of a .jsonl file, as `fineq eval` does, not at its brackets."""
    model, words = make_model("llama", tmp_path / "model"), "a b c d e f g h " * 40
    (tmp_path / "t.txt").write_text(words)
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": words}) + "\n")
    weights = []
    for kind in ("txt", "jsonl"):
        given = ["--recipe", "calibrated", "--calibration", tmp_path / f"t.{kind}", "--windows", 2, "--no-check"]
        assert run_fineq("quantize", model, "-o", tmp_path / kind, *given).code == 0
        weights.append(load_file(tmp_path / kind / "model.safetensors"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
