"""The whole top of a board, as its tools get it, simulated from its pins: self-test in block RAM, verdict on lights."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fineq_hw.link.script import ScriptStep, Step
from fineq_sim.link.selftest import selftest_script
from fineq_sim.runs.runner import VerilogDesign, run
from fineq_system.boards.build import linked_design, write_project
from fineq_system.boards.definitions import BOARDS, machine_of

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Wiring:
    """What is soldered to a board's FPGA, by the schematics: package pins, and the level at which a light is on."""

    constraints: str
    line: str
    pins: dict[str, str]
    on: int


WIRINGS = {
    "icebreaker": Wiring(
        "fineq.pcf", r"set_io (\S+) (\S+)", {"clk": "35", "rx": "6", "tx": "9", "passed": "37", "failed": "11"}, on=0
    ),
    "ulx3s-85f": Wiring(
        "fineq.lpf",
        r'LOCATE COMP "(\S+)" SITE "(\S+)"',
        {"clk": "G2", "rx": "M1", "tx": "L4", "passed": "B2", "failed": "C2"},
        on=1,
    ),
}


def board_around(wiring: Wiring, constraints: str) -> str:
    """Verilog of the board: the FPGA, its package pins on the names of the bench."""
    ports = {pin: port for port, pin in re.findall(wiring.line, constraints)}
    connections = ", ".join(f".\\{ports[pin]} ({name})" for name, pin in wiring.pins.items())
    return f"module board (input clk, rx, output tx, passed, failed);\n    fineq fpga ({connections});\nendmodule\n"


def simulate(name: str, config: str | None, script: Sequence[ScriptStep], verdict: str, place: Path) -> None:
    """Write the project of a board, take its netlist to Verilog, and run the bench on the board."""
    if shutil.which("iverilog") is None:
        pytest.skip("no iverilog on the PATH")
    board, wiring = BOARDS[name], WIRINGS[name]
    write_project(board, linked_design(board, machine_of(board, config), script), place)
    passes = "read_rtlil fineq.il; proc; memory_collect; write_verilog top.v"
    command = [sys.executable, "-m", "fineq_system.boards.native_yosys", "-q", "-p", passes]
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    sources = {
        "board.v": board_around(wiring, (place / wiring.constraints).read_text()),
        "top.v": (place / "top.v").read_text(),
        "primitives.v": (HERE / "primitives.v").read_text(),
    }
    settings = {"on": wiring.on, "divisor": board.divisor, "steps": len(script), "verdict": verdict}
    result = run(
        name,
        VerilogDesign("board", sources),
        "board_bench",
        "icarus",
        place / "run",
        parameters=settings,
        cache=place / "cache",
    )
    assert result.passed, result.error or [test.failure for test in result.tests]


@pytest.fixture(autouse=True)
def bench_is_found(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


def damaged(script: Sequence[ScriptStep]) -> list[ScriptStep]:
    """The script with a wrong bit in the last word that is compared with a sum."""
    last = max(number for number, step in enumerate(script) if step.step is Step.CHECK)
    changed = list(script)
    changed[last] = replace(script[last], data=script[last].data ^ 1)
    return changed


def test_the_light_for_passed_goes_on(tmp_path):
    simulate("icebreaker", None, selftest_script(BOARDS["icebreaker"].machine), "passed", tmp_path)


def test_a_wrong_sum_turns_the_other_light_on(tmp_path):
    simulate("icebreaker", None, damaged(selftest_script(BOARDS["icebreaker"].machine)), "failed", tmp_path)


@pytest.mark.regress
def test_a_whole_accelerator_on_its_board(tmp_path):
    machine = machine_of(BOARDS["ulx3s-85f"], "accelerator_5x7")
    simulate("ulx3s-85f", "accelerator_5x7", selftest_script(machine), "passed", tmp_path)
