"""Measuring a model that is stored quantized: it is what it is, and nothing is applied to it again."""

import json
import math

import pytest
from command_line import run_fineq

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
