"""The table of cores on FPGAs: its figures follow from what was measured, and every encoding is in it."""

from __future__ import annotations

import pytest
from helpers.running.command_line import run_fineq

from fineq.format.temporal import ENCODINGS, MAX_CYCLES
from fineq_hw.config import ArrayConfig, MacConfig
from fineq_reports.fpga.table import Row, mean_cycles, page, picture
from fineq_system.boards import cores
from fineq_system.boards.cores import TARGETS, CoreCase, cases
from fineq_system.boards.tools import Utilisation

FOUND = Utilisation(1000, 500, 0, 64, 83640, 83640, 208, 156, 50.0)


def test_the_cases_have_every_encoding_and_macs_with_and_without_dsps():
    names = [case.name for case in cases(TARGETS["ulx3s-85f"])]
    assert names == [*ENCODINGS, "MAC 8x3, LUTs", "MAC 8x3, DSPs", "MAC 8x8, LUTs", "MAC 8x8, DSPs"]
    assert not any(case.dsp for case in cases(TARGETS["icebreaker"]))
    for target in TARGETS.values():
        for case in cases(target):
            assert case.config.activation_storage == "gated-flop"


def test_the_pace_lies_between_one_cycle_and_the_longest():
    for encoding in ENCODINGS:
        config = ArrayConfig(rows=8, columns=8, encoding=encoding, sign_handling="column")
        assert 1 <= mean_cycles(config) <= MAX_CYCLES[encoding]
    unary = mean_cycles(ArrayConfig(rows=8, columns=8))
    assert unary > mean_cycles(ArrayConfig(rows=8, columns=8, encoding="2s-unary", sign_handling="column")) > 1
    assert mean_cycles(MacConfig(rows=8, columns=8)) == 1


def test_figures_of_a_row():
    row = Row(CoreCase("x", MacConfig(rows=8, columns=8)), FOUND, 2.0)
    assert row.macs == pytest.approx(64 * 50e6 / 2 / 1e9) and row.macs_per_lut == pytest.approx(1.6)


def test_a_page_and_its_picture():
    target = TARGETS["ulx3s-85f"]
    rows = [Row(case, FOUND, 1.5) for case in cases(target)]
    text = page(target, rows, "fineq fpga-table --board ulx3s-85f", "x.png")
    assert "| cluster | 1,000 | 500 | 0 | 64 | 50.0 | 1.50 | 2.13 | 2.13 |" in text
    assert "nothing was run on a board" in text and "83,640 LUTs, 208 block RAMs" in text
    rows[-1] = Row(rows[-1].case, None, 1.0)
    assert "| MAC 8x8, DSPs | does not fit |  |" in page(target, rows, "", "")
    assert picture(target, rows) == picture(target, rows)


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    target = TARGETS["icebreaker"]
    case = CoreCase("unary", ArrayConfig(rows=2, columns=4, adder_tree="behavioural", sign_handling="column"))
    calls = []

    def run(command, *, cwd, **options):
        calls.append(command[0])
        return cores.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(cores, "tool_environment", lambda family, work: {"YOSYS": "y", "NEXTPNR_ICE40": "n"})
    monkeypatch.setattr(cores.subprocess, "run", run)
    monkeypatch.setattr(cores, "read_report", lambda family, path: FOUND)
    monkeypatch.setattr(cores, "convert", lambda tops: ({"frame": "module frame; endmodule\n"}, None))
    first = cores.measure(case, target, tmp_path)
    assert calls == ["y", "n"] and first.luts < FOUND.luts and first.flops < FOUND.flops
    assert cores.measure(case, target, tmp_path) == first and len(calls) == 2
    monkeypatch.setattr(cores, "convert", lambda tops: ({"frame": "module frame(); endmodule\n"}, None))
    cores.measure(case, target, tmp_path)
    assert len(calls) == 4


def test_an_unknown_board_is_one_sentence(tmp_path):
    outcome = run_fineq("fpga-table", "--board", "arty-a7-100", "--results", tmp_path)
    assert outcome.code == 1 and "no open tools for a board 'arty-a7-100': choose from ulx3s-85f" in outcome.stderr
    assert not list(tmp_path.iterdir())
