"""The catalog of proofs: names, the short set, a planted fault for every block that is proven, the command."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq.common.errors import FineqError
from fineq_formal.catalog import PROOFS, select
from fineq_formal.faults import proof_faults
from fineq_formal.tools import ToolError, find_provers

REPOSITORY = Path(__file__).parents[2]
FAULTS = proof_faults(REPOSITORY / "tests/faults")


def test_names_are_of_rooms_and_blocks():
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)
    for proof in PROOFS:
        room, block, what = proof.name.split("/")
        assert (REPOSITORY / "hw/fineq_hw" / room).is_dir() and block and what
        assert proof.claim and not proof.claim.endswith(".")


def test_faults_have_proofs():
    for fault in FAULTS:
        assert select(fault.proof), fault.name


def test_every_proof_has_a_fault_that_breaks_it():
    without = [proof.name for proof in PROOFS if not any(proof.name.startswith(fault.proof) for fault in FAULTS)]
    assert without == []


def test_the_short_set_holds(provers, tmp_path):
    outcome = run_fineq("formal", "--short", "--output", tmp_path)
    assert outcome.code == 0, outcome
    cases = ElementTree.parse(tmp_path / "results.xml").getroot().findall("testcase")
    assert [case.get("name") for case in cases] == [proof.name for proof in select(short=True)]
    page = (tmp_path / "formal.md").read_text()
    assert f"{len(cases)} of {len(cases)} proofs hold." in page and "`fineq formal --short`" in page


def test_unknown_proof():
    with pytest.raises(FineqError, match="no proof matches 'nothing'"):
        select("nothing")
    assert run_fineq("formal", "--only", "nothing").code == 1


def test_missing_provers_are_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolError, match="is missing: install it with pip install 'fineq"):
        find_provers()
