"""Structs between the parts of the control unit follow from the definitions that software has."""

from __future__ import annotations

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.control.structs import checked_job_layout, counter_events_layout, fault_layout
from fineq_hw.interface.descriptors import DESCRIPTOR_FIELDS
from fineq_hw.interface.registers import COUNTERS, REGISTERS
from fineq_hw.lib.machine_streams import job_layout


@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_field_of_a_job_comes_from_the_descriptor(name):
    fields = {field.name for field in DESCRIPTOR_FIELDS}
    assert set(job_layout(ACCELERATORS[name]).members) - fields == {"inner_tiles", "line_groups"}


def test_events_are_those_that_the_registers_do_not_count_themselves():
    config = ACCELERATORS["accelerator_64x64"]
    events = counter_events_layout(config)
    assert set(events.members) == {counter.name for counter in COUNTERS} - {"cycles", "jobs"}
    assert events["bytes_read"].width == 5, "0 to 16 bytes a cycle"
    assert events["terminated_cycles"].width == 2, "0 to 3 steps a cycle"


def test_faults_fit_their_registers():
    fields = {"code": REGISTERS["ERROR"].field("code"), "detail": REGISTERS["ERROR"].field("detail")}
    assert {name: field.width for name, field in fields.items()} == {name: fault_layout[name].width for name in fields}
    assert fault_layout["address"].width == REGISTERS["ERROR_ADDRESS"].bits
    checked = checked_job_layout(ACCELERATORS["accelerator_5x7"])
    assert (checked["error"].width, checked["detail"].width) == (
        fault_layout["code"].width,
        fault_layout["detail"].width,
    )
