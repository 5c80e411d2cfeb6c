"""The page says what became of every mutant; equivalent ones leave the score, survivors have a reason or none."""

import json
from dataclasses import replace

import pytest

from fineq.common.errors import FineqError
from fineq_mutants.campaign import BENCH, EQUIVALENT, LOST, OPEN, PROOF, SURVIVES, UNDECIDED, Outcome
from fineq_mutants.commands.mutants import _share
from fineq_mutants.operators import Site
from fineq_mutants.report import as_json, data, load_explanations, markdown, score
from fineq_mutants.sampling import Mutant


def _outcome(number: int, block: str, result: str) -> Outcome:
    site = Site("stuck-0", f"cell{number}", "$add", "A", 3, "stuck at 0", f"fineq_hw/a.py:{number}")
    return Outcome(Mutant(number, block, f"fineq_{block}", site), result, "somebody")


OUTCOMES = [
    _outcome(1, "first", BENCH),
    _outcome(2, "first", PROOF),
    _outcome(3, "first", EQUIVALENT),
    _outcome(4, "second", SURVIVES),
]


def test_equivalent_ones_leave_the_score():
    assert score(OUTCOMES[:3]) == 1
    assert score(OUTCOMES) == pytest.approx(2 / 3)
    assert score([OUTCOMES[2]]) == 1


def test_undecided_ones_count_as_not_noticed_and_open_ones_not_at_all():
    unfinished = [*OUTCOMES[:2], _outcome(5, "first", UNDECIDED), _outcome(6, "first", OPEN)]
    assert score(unfinished) == pytest.approx(2 / 3)
    page = markdown(unfinished, {}, "fineq mutants --kept", 7, ["yosys 1"])
    assert "| first | 4 | 1 | 1 | 0 | 0 | 0 | 1 | 1 | 66.7 % |" in page
    assert "1 were let through by a bench and are undecided" in page and "1 have not been tried" in page
    assert "the campaign is not at its end" not in markdown(OUTCOMES, {}, "fineq mutants", 7, ["yosys 1"])


def test_a_lost_proof_notices_and_has_a_column_of_its_own():
    outcomes = [*OUTCOMES[:2], _outcome(5, "first", LOST)]
    assert score(outcomes) == 1
    assert "| first | 3 | 1 | 1 | 1 | 0 | 0 | 0 | 0 | 100.0 % |" in markdown(
        outcomes, {}, "fineq mutants", 7, ["yosys 1"]
    )


def test_page(tmp_path):
    file = tmp_path / "survivors.toml"
    file.write_text(
        '[[survivor]]\nblock = "second"\nsource = "fineq_hw/a.py:4"\n'
        'change = "add.A[3]: stuck at 0"\nwhy = "harmless"\n'
    )
    page = markdown(OUTCOMES, load_explanations(file), "fineq mutants", 7, ["yosys 1"])
    assert "| first | 3 | 1 | 1 | 0 | 1 | 0 | 0 | 0 | 100.0 % |" in page
    assert "| second | 1 | 0 | 0 | 0 | 0 | 1 | 0 | 0 | 0.0 % |" in page
    assert "| second | fineq_hw/a.py:4 | add.A[3]: stuck at 0 | harmless |" in page
    assert "not explained" in markdown(OUTCOMES, {}, "fineq mutants", 7, ["yosys 1"])
    assert as_json(OUTCOMES)[3]["result"] == SURVIVES


def test_data_carry_the_verdicts_behind_the_page():
    outcomes = [*OUTCOMES[:3], replace(OUTCOMES[3], taken_over=True)]
    document = json.loads(data(outcomes, 7, {"miter-2": ["proven", 10], "bench-1": [None, 0.5]}))
    assert document["seed"] == 7 and document["mutants"] == as_json(outcomes)
    assert document["verdicts"] == {"bench-1": [None, 0.5], "miter-2": ["proven", 10]}
    assert "1 of these outcomes were taken over" in markdown(outcomes, {}, "fineq mutants", 7, ["yosys 1"])


def test_a_file_that_is_no_list_of_explanations_is_refused(tmp_path):
    file = tmp_path / "survivors.toml"
    file.write_text("[[survivor]]\nblock = 1\n")
    with pytest.raises(FineqError, match="no list of explanations"):
        load_explanations(file)


def test_shares_cover_all_blocks_once():
    mutants = [outcome.mutant for outcome in OUTCOMES]
    assert _share(mutants, "1/2") + _share(mutants, "2/2") == mutants
    for part in ("3/2", "0/1", "x", "1"):
        with pytest.raises(FineqError, match="give it as I/N"):
            _share(mutants, part)
