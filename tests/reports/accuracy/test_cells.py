"""Measured cells: every method on whole models, what is kept, what makes it new."""

import math

import pytest
import torch
from helpers.models.tiny_models import make_model

import fineq
from fineq.calibrated.capture import cut_windows
from fineq.common.cache_keys import deciding_files
from fineq.common.errors import FineqError
from fineq.evaluation.evaluate import evaluate, measure, prepare
from fineq.evaluation.methods import find_method, method_names
from fineq.evaluation.perplexity import Text, tokenize
from fineq.evaluation.recipe_methods import recipe_method
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.recipes import RECIPES
from fineq_reports.accuracy import cells as cells_module
from fineq_reports.accuracy.cells import Plan, deciding_modules, measure_cells
from fineq_reports.accuracy.cluster_size import ClusterSize
from fineq_reports.accuracy.decisions import (
    cluster_method,
)
from fineq_reports.accuracy.perplexities import (
    TABLE_METHODS,
    figure_1_methods,
)

TEXT = Text("text.txt", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 12, 1, "as it is")
OTHER = Text("other.raw", "z y x w v u t s r q p o n m l k j i h g f e d c b a " * 12, 1, "as it is")
METHODS = ["none", "rtn", "gptq", "paper"]


# -- methods on whole models -----------------------------------------------------------------------------------


def test_every_method_applies_to_a_model_by_one_call(model):
    tokens = torch.randint(3, 29, (200,), generator=torch.Generator().manual_seed(1))
    for name in ("none", "paper", "rtn", "gptq", "owq", "pb-llm", "calibrated"):
        method, loaded = find_method(name), load_model(model)
        reports = method.apply(loaded, tokens)
        assert sorted(r.name for r in reports) == ([] if name == "none" else sorted(block_linears(loaded)))
        for report in reports:
            before, after = get_weight(load_model(model), report.name), get_weight(loaded, report.name)
            error = (before - after).double().square().sum() / before.double().square().sum()
            assert math.isclose(error, report.normalised_error, rel_tol=1e-4)
            assert report.bits_per_weight > method.nominal_bits - 0.2


def test_calibrated_methods_ask_for_text(model):
    with pytest.raises(FineqError, match="method owq needs a text to calibrate with: give one"):
        find_method("owq").apply(load_model(model))
    with pytest.raises(FineqError, match="unknown recipe 'best': choose one of none, paper.*calibrated.*gptq"):
        find_method("best")
    assert set(TABLE_METHODS) <= set(method_names())
    assert [find_method(name).name for name in figure_1_methods()] == figure_1_methods()


def test_evaluate_records_the_calibration_text(model):
    record = evaluate(model, TEXT, find_method("gptq"), 32, calibration=OTHER).to_json()
    assert (record["calibration"], record["calibration_sha256"]) == ("other.raw", OTHER.sha256)
    assert evaluate(model, TEXT, find_method("rtn"), 32, calibration=OTHER).to_json()["calibration"] is None


# -- cells -----------------------------------------------------------------------------------------------------


def test_cells_are_the_evaluations_in_order(model, other, cache):
    plan = Plan([model, other], METHODS, [TEXT, OTHER], OTHER, (16, None), cache=cache)
    cells = measure_cells(plan)
    assert len(cells) == 2 * 4 * 2 * 2
    expected = [(m, n, t, s) for m in ("tiny", "other") for n in METHODS for t in ("text.txt", "other.raw")
                for s in (16, 64)]  # fmt: skip
    assert [(c.model, c.method.name, c.text, c.sequence_length) for c in cells] == expected
    subject = prepare(other, find_method("gptq"), OTHER)
    assert cells[25].perplexity == measure(subject, TEXT).to_json()["result"]["perplexity"]


def test_an_interrupted_run_goes_on_and_a_repeated_one_measures_nothing(model, tmp_path, monkeypatch):
    plan = Plan([model], ["none", "rtn", "paper"], [TEXT], cache=tmp_path)
    prepared = []

    def stops(path, method, calibration, calibration_windows):
        prepared.append(method.name)
        if method.name == "paper" and prepared.count("paper") == 1:
            raise KeyboardInterrupt
        return prepare(path, method, calibration)

    monkeypatch.setattr(cells_module, "prepare", stops)
    with pytest.raises(KeyboardInterrupt):
        measure_cells(plan)
    records = [cell.record for cell in measure_cells(plan)]
    assert prepared == ["none", "rtn", "paper", "paper"]
    assert [cell.record for cell in measure_cells(plan)] == records and len(prepared) == 4
    next(tmp_path.glob("*.json")).write_text("{")  # a damaged cell is measured again
    assert [cell.record for cell in measure_cells(plan)] == records and len(prepared) == 5
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("change", ["model", "text", "length", "windows", "calibration", "code"])
def test_whatever_decides_a_value_makes_a_new_cell(model, tmp_path, monkeypatch, change):
    plan = dict(models=[model], methods=["gptq"], texts=[TEXT], calibration=OTHER, cache=tmp_path)
    measure_cells(Plan(**plan))
    before = set(tmp_path.iterdir())
    if change == "model":
        plan["models"] = [make_model("llama", tmp_path / "elsewhere" / "tiny", torch.bfloat16)]
        before.add(tmp_path / "elsewhere")
    elif change == "code":
        monkeypatch.setattr(cells_module, "deciding_modules", lambda method: ["fineq.format"])
    else:
        plan |= {"text": dict(texts=[OTHER]), "length": dict(sequence_lengths=(16,)), "windows": dict(max_windows=1),
                 "calibration": dict(calibration=TEXT)}[change]  # fmt: skip
    measure_cells(Plan(**plan))
    assert len(set(tmp_path.iterdir()) - before) == 1


def test_keys_tell_kinds_apart():
    """A change in one kind of method leaves the measurements of the others valid."""
    files = {
        name: {"/".join(file.parts[-2:]) for file in deciding_files(*deciding_modules(find_method(name)))}
        for name in ("none", "paper", "calibrated", "gptq", "rtn-4bit")
    }
    assert all("evaluation/perplexity.py" in each and "models/language_model.py" in each for each in files.values())
    assert [name for name, each in files.items() if "baselines/gptq.py" in each] == ["gptq", "rtn-4bit"]
    assert "calibrated/solver.py" in files["calibrated"]
    assert "quantizer/vectorised.py" in files["paper"] and "calibrated/solver.py" not in files["paper"]
    changed = deciding_modules(recipe_method(RECIPES["paper-column"]))
    assert deciding_modules(find_method("mse")) == deciding_modules(find_method("paper")) == changed
    assert "fineq_reports.accuracy.cluster_size" in deciding_modules(cluster_method(ClusterSize(2)))


def test_names_must_differ(model, tmp_path):
    with pytest.raises(FineqError, match="two of the models have the same name"):
        measure_cells(Plan([model, model], ["none"], [TEXT], cache=tmp_path))
    with pytest.raises(FineqError, match="two of the texts have the same name"):
        measure_cells(Plan([model], ["none"], [TEXT, TEXT], cache=tmp_path))


# -- windows, and models that are quantized already ------------------------------------------------------------


def test_each_text_may_have_its_own_windows(model, tmp_path):
    plan = Plan([model], ["none"], [TEXT, OTHER], sequence_lengths=(32,), max_windows=(2, 3), cache=tmp_path)
    assert [cell.record["result"]["windows"] for cell in measure_cells(plan)] == [2, 3]
    one = Plan([model], ["none"], [OTHER], sequence_lengths=(32,), max_windows=3, cache=tmp_path)
    assert measure_cells(one)[0].record == measure_cells(plan)[1].record and len(list(tmp_path.iterdir())) == 2
    with pytest.raises(FineqError, match="there are 1 texts: give --windows once, or once for each"):
        measure_cells(Plan([model], ["none"], [TEXT], max_windows=(2, 3), cache=tmp_path))


@pytest.mark.parametrize("name", ["gptq", "calibrated"])
def test_windows_of_the_calibration_text(model, tmp_path, name):
    """The same as a text of which nothing is left but those windows, spread evenly."""
    few = dict(models=[model], methods=[name], texts=[TEXT], calibration=OTHER, cache=tmp_path)
    record = measure_cells(Plan(**few, calibration_windows=2))[0].record
    assert record["calibration_windows"] == 2
    loaded, tokenizer = load_model(model), load_tokenizer(model)
    windows = cut_windows(loaded, tokenize(tokenizer, OTHER.content))
    assert len(windows) > 3
    find_method(name).apply(loaded, windows[[0, -1]])
    expected = prepare(model, find_method(name), OTHER, calibration_windows=2).model
    assert all(torch.equal(get_weight(expected, layer), get_weight(loaded, layer)) for layer in block_linears(loaded))
    assert measure_cells(Plan(**few))[0].nll != record["result"]["nll"]


def test_a_model_that_is_quantized_already_is_a_row(model, other, tmp_path):
    fineq.quantize_model(model, tmp_path / "before", "paper", check=False)
    stored = (tmp_path / "before",)
    plan = Plan([model], ["none", "paper"], [TEXT], cache=tmp_path / "cache", stored=stored)
    full, applied, kept = measure_cells(plan)
    assert (kept.model, kept.method.name) == ("tiny", "before")
    assert kept.method.title == "FineQ, recipe paper, before as stored"
    assert math.isclose(kept.nll, applied.nll, rel_tol=1e-5) and kept.bits == applied.bits
    assert measure_cells(plan)[2].record == kept.record  # from the cache
    with pytest.raises(FineqError, match="is not quantized: give it as the model"):
        measure_cells(Plan([model], ["none"], [TEXT], cache=tmp_path, stored=(other,)))
    with pytest.raises(FineqError, match="are of one model: give that one alone"):
        measure_cells(Plan([model, other], ["none"], [TEXT], cache=tmp_path, stored=stored))
