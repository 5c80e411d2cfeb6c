"""What works with a model type: each stage for itself, and what a stage that fails looks like on the page."""

import json

import pytest
from helpers.running.command_line import run_fineq

from fineq.common.errors import FineqError
from fineq_reports.model_types import support as supporting
from fineq_reports.model_types.outcome import REFUSED, WORKS, WRONG
from fineq_reports.model_types.support import STAGES, Support, support
from fineq_reports.model_types.support_page import as_markdown


def failing(monkeypatch, stage, error):
    def attempt(place):
        raise error

    monkeypatch.setitem(supporting.STAGES, stage, (STAGES[stage][0], attempt))


def test_every_stage_works_with_llama():
    found = support("llama")
    assert found.stages == dict.fromkeys(STAGES, WORKS) and not found.reasons and not found.lacks


def test_a_refusal_and_a_defect_are_told_apart(monkeypatch):
    failing(monkeypatch, "eval", FineqError("too short"))
    failing(monkeypatch, "simulate", RuntimeError("it\nbroke"))
    found = support("gpt2")
    assert found.stages == dict.fromkeys(STAGES, WORKS) | {"eval": REFUSED, "simulate": WRONG}
    assert found.reasons == {"eval": "too short", "simulate": "RuntimeError: it broke"}


def test_without_a_packed_file_only_calibration_goes_on(monkeypatch):
    failing(monkeypatch, "quantize", FineqError("no"))
    assert support("gpt2").stages == {"quantize": REFUSED, "calibrate": WORKS}


def test_the_page_counts_and_gives_reasons():
    found = [
        Support("a", dict.fromkeys(STAGES, WORKS), lacks=["Router"]),
        Support("b", {"quantize": REFUSED, "calibrate": WRONG}, {"quantize": "no blocks", "calibrate": "NaN"}),
    ]
    page = as_markdown(found, "fineq support --only a --only b")
    assert "| `a` | yes | yes | yes | yes | yes |\n" in page
    assert "| `b` | refused | not tried | not tried | **wrong** | not tried |\n" in page
    assert "| of 2 | 1 | 1 | 1 | 1 | 1 |\n" in page and "Made by `fineq support --only a --only b`, " in page
    assert "* `b`, quantize: no blocks\n* `b`, calibrate: NaN\n" in page and "* `a`: Router\n" in page


def test_the_command_writes_both_files_and_fails_on_a_defect(monkeypatch, tmp_path):
    found = Support("llama", {"quantize": WORKS, "load": WRONG}, {"load": "NaN"})
    monkeypatch.setattr(supporting, "support", lambda name: found)
    outcome = run_fineq("support", "--only", "llama", "--output", tmp_path)
    assert outcome.code == 1 and "error: 1 stages are wrong: llama, load\n" in outcome.stderr
    assert json.loads((tmp_path / "support.json").read_text())["types"] == [found.as_dict()]
    assert "Made by `fineq support --only llama`, " in (tmp_path / "support.md").read_text()


@pytest.mark.parametrize("words", [["--only", "lama"]])
def test_a_type_that_is_none(words, tmp_path):
    outcome = run_fineq("support", *words, "--output", tmp_path / "new")
    assert outcome.code == 1 and "no model type 'lama' that writes text" in outcome.stderr
    assert not (tmp_path / "new").exists()
