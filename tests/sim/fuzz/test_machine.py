"""The fuzz of machines: model and RTL agree, and a difference is found, made short and shown again."""

from random import Random

import numpy as np
import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.bus import Response
from fineq_sim.driver.functional import FunctionalTransport
from fineq_sim.driver.functional.memory import FunctionalMemory
from fineq_sim.fuzz.machine.campaign import CONFIG, fuzz_machine, show
from fineq_sim.fuzz.machine.cases import Case, random_case


def test_same_seed_same_cases():
    one, other = (random_case(Random(4), ACCELERATORS[CONFIG]) for _ in range(2))
    assert one == other


def test_a_case_survives_the_disk(tmp_path):
    draw = Random(5)
    for number in range(50):
        case = random_case(draw, ACCELERATORS[CONFIG])
        assert Case.read(case.write(tmp_path / f"{number}.json")) == case


def test_no_fault_of_no_bytes():
    """Found by the fuzz: a range of no bytes, in the middle of what a job reads, answered with an error."""
    memory = FunctionalMemory(0, 256, 8)
    memory.fault(100, 0, Response.DECERR)
    assert len(memory.span(64, 128)) == 128


def test_model_and_rtl_agree(tmp_path):
    tally, cases = fuzz_machine(1, 60, tmp_path)
    assert cases == 60 and tally.failures == []
    assert tally.outcomes["chain", "done"] > 20


@pytest.mark.regress
def test_model_and_rtl_agree_for_long(tmp_path):
    assert fuzz_machine(2, 1000, tmp_path)[0].failures == []


def test_a_difference_is_found_and_shown_again(tmp_path, monkeypatch):
    right = FunctionalTransport._compute

    def write_one_byte_too_many(self, job):
        right(self, job)
        end = job["destination"] + (job["tokens"] - 1) * job["destination_stride"] + job["channels"]
        if self.memory_base <= end < self.memory_base + self.memory_size:
            self.write_memory(end, np.array([0x5A], np.uint8))

    monkeypatch.setattr(FunctionalTransport, "_compute", write_one_byte_too_many)
    tally, _ = fuzz_machine(1, 10, tmp_path)
    assert "memory" in {failure.kind for failure in tally.failures}
    failure = next(failure for failure in tally.failures if failure.kind == "memory")
    assert len(Case.read(failure.directory).steps) == 1
    assert show(failure.directory)[0] == "memory"
    monkeypatch.undo()
    assert show(failure.directory) == ("", "")
