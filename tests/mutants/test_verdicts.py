"""Verdicts are found again by name, here or in the report of an earlier campaign, and say when they are new."""

import json

import pytest

from fineq.common.errors import FineqError
from fineq_mutants.verdicts import UNKNOWN, Verdicts, verdicts_of


def test_what_is_put_is_found_again_on_this_machine(tmp_path):
    verdicts = Verdicts(tmp_path / "kept")
    assert verdicts.get("bench-1") is None
    verdicts.put("bench-1", ["a test", 0.5])
    assert verdicts.made == 1
    again = Verdicts(tmp_path / "kept")
    assert again.get("bench-1") == ["a test", 0.5]
    assert again.used == {"bench-1": ["a test", 0.5]}
    assert again.made == 0


def test_what_an_earlier_campaign_knows_holds_where_the_name_is_the_same(tmp_path):
    verdicts = Verdicts(tmp_path / "kept", {"bench-1": [None, 1.0]})
    assert verdicts.get("bench-1") == [None, 1.0]
    assert verdicts.get("bench-2") is None
    assert verdicts.made == 0


@pytest.mark.parametrize("verdict", ["proven", "fails"])
def test_what_a_prover_reached_holds_for_any_limit(tmp_path, verdict):
    verdicts = Verdicts(tmp_path / "kept", {"miter-1": [verdict, 10]})
    assert verdicts.proven("miter-1", 30, lambda: pytest.fail("asked again")) == verdict


def test_what_a_prover_did_not_reach_holds_for_as_short_a_limit(tmp_path):
    verdicts = Verdicts(tmp_path / "kept", {"miter-1": [UNKNOWN, 10]})
    assert verdicts.proven("miter-1", 10, lambda: pytest.fail("asked again")) == UNKNOWN
    assert verdicts.proven("miter-1", 30, lambda: "proven") == "proven"
    assert verdicts.used == {"miter-1": ["proven", 30]}


def test_no_report_has_no_verdicts_and_a_damaged_one_is_refused(tmp_path):
    file = tmp_path / "mutants.json"
    assert verdicts_of(file) == {}
    file.write_text(json.dumps({"verdicts": {"bench-1": [None, 1.0]}}))
    assert verdicts_of(file) == {"bench-1": [None, 1.0]}
    for text in ("{", "[]", '{"verdicts": []}'):
        file.write_text(text)
        with pytest.raises(FineqError, match="no report of mutants"):
            verdicts_of(file)
