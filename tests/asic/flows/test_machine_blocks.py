"""Area and slack of the accelerator's blocks: on small blocks of the smallest machine."""

import re

import pytest

from fineq_asic.errors import SynthesisError
from fineq_asic.flows.machine_blocks import measure
from fineq_asic.flows.stand_ins import stand_in
from fineq_reports.machine.blocks_report import as_markdown, write_report

MACHINE = "accelerator_8x24"


@pytest.fixture(scope="module")
def input_buffer(tmp_path_factory):
    return measure(MACHINE, tmp_path_factory.mktemp("blocks"), "input_buffer")


def test_memories_are_left_out_and_named(input_buffer):
    (memory,) = input_buffer.memories
    assert (memory.block, memory.words, memory.bits) == ("input_buffer", 16, 192)


def test_a_memory_whose_name_was_changed_is_found(tmp_path):
    report = measure(MACHINE, tmp_path, "parameter_buffer")
    assert [(each.name, each.words, each.bits) for each in report.memories] == [("channels", 32, 128)]
    assert 64 * 32 * 4.522 > report.blocks[0].area


def test_a_memory_of_a_queue_belongs_to_the_block_that_holds_the_queue(tmp_path):
    report = measure(MACHINE, tmp_path, "write_dma")
    assert [(each.block, each.name) for each in report.memories] == [("write_dma", "entries")]
    assert report.blocks[0].slack_ns == pytest.approx(report.timing.worst_slack_ns, abs=1e-3)


def test_the_block_is_measured_without_its_memory(input_buffer):
    (row,) = input_buffer.blocks
    assert (row.name, row.instances) == ("input_buffer", 1)
    assert row.slack_ns == pytest.approx(input_buffer.timing.worst_slack_ns, abs=1e-3)
    assert input_buffer.timing.met
    assert 0 < row.area < 16 * 192 * 4.522, "its memory alone, as flip-flops, would be larger"


def test_report_holds_the_figures(input_buffer, tmp_path):
    text = write_report(input_buffer, tmp_path).read_text()
    assert text == as_markdown(input_buffer)
    assert "`fineq accelerator-blocks --accelerator accelerator_8x24 --block input_buffer`" in text
    (row,) = input_buffer.blocks
    assert f"| `input_buffer` | 1 | {row.cells:,} |" in text
    assert "| memory | `input_buffer` | 16 | 192 |" in text


def test_a_clock_that_is_too_fast_is_missed(tmp_path):
    report = measure(MACHINE, tmp_path, "write_back", clock_ns=0.3)
    assert not report.timing.met
    assert report.timing.verdict().startswith("a clock of 0.3 ns is missed by ")


def test_stand_in_needs_every_input_and_gives_every_output():
    text = stand_in("box", [("input", "clk", 1), ("input", "address", 5), ("output", "data", 3)])
    assert {int(bit) for bit in re.findall(r"held\[(\d+)\]", text)} == set(range(5))
    assert re.findall(r"read\[(\d+)\] <=", text) == ["0", "1", "2"]


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(SynthesisError) as error:
        measure(MACHINE, tmp_path, "cache")
    assert str(error.value) == (
        "accelerator_8x24 has no block 'cache': choose one of core, descriptor_unit, input_buffer, job_control, "
        "output_buffer, parameter_buffer, read_dma, registers, vector_unit, watchdog, weight_buffer, write_back, "
        "write_dma"
    )
    with pytest.raises(SynthesisError) as error:
        measure("accelerator_1x1", tmp_path)
    assert str(error.value).startswith("unknown accelerator 'accelerator_1x1': choose one of accelerator_64x64, ")
