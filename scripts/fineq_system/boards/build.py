"""From a board and a machine to a bitstream, or to a project for a vendor's tool."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from fineq.common.errors import FineqError
from fineq.common.files import write_bytes, write_text
from fineq.common.tools import ToolError
from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.interface.link import fingerprint
from fineq_hw.link.machines import linked_machine
from fineq_hw.link.script import ScriptStep
from fineq_system.boards.definitions import Board
from fineq_system.boards.design import BoardDesign
from fineq_system.boards.tools import Utilisation, failure, read_report, tool_environment

NAME = "fineq"
"""Of the files of a build."""

BITSTREAM_ENDS = {"ice40": "bin", "ecp5": "bit"}

RECORD = "board.json"
"""What a build says of itself, beside its bitstream."""


def array_of(config: ArrayConfig | AcceleratorConfig) -> ArrayConfig:
    """The array of a machine on a board."""
    array = config.array if isinstance(config, AcceleratorConfig) else config
    assert isinstance(array, ArrayConfig)
    return array


def linked_design(board: Board, config: ArrayConfig | AcceleratorConfig, script: Sequence[ScriptStep]) -> BoardDesign:
    """A machine behind the board's UART, with a self-test (empty: none)."""
    return BoardDesign(board, linked_machine(config, board.divisor, board.memory_bytes, script))


def write_project(board: Board, design: BoardDesign, place: Path) -> None:
    """Write the sources of a build: netlist, constraints, and a script for the tools, none of which is needed here."""
    options = {}
    if board.open_tools:
        seed = "--seed 1 --report report.json"
        options = {"nextpnr_opts": f"{seed} --timing-allow-fail", "yosys_opts": "-q"}
    plan = board.make_platform().build(design, name=NAME, do_build=False, **options)
    for name, content in plan.files.items():
        write_bytes(place / name, content if isinstance(content, bytes) else content.encode())


def make_bitstream(board: Board, environment: Mapping[str, str], place: Path, too_large: str) -> Utilisation:
    """Have the tools work off a project.

    Args:
        board: with open tools.
        environment: from `tool_environment`.
        place: of the project.
        too_large: what to say of a design that does not fit.

    Raises:
        ToolError: a program fails.
        FineqError: the design does not fit, or is too slow for the board's clock.
    """
    log = place / "build.log"
    with log.open("w", encoding="utf-8") as stream:
        result = subprocess.run(
            ["sh", f"build_{NAME}.sh"],
            cwd=place,
            env=os.environ | environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if result.returncode:
        timing = place / f"{NAME}.tim"
        text = log.read_text(encoding="utf-8") + (timing.read_text(encoding="utf-8") if timing.exists() else "")
        reason = failure(text)
        if reason == "too large":
            raise FineqError(too_large)
        raise ToolError(f"the tools could not build {board.text}: {reason}; {log} has more")
    found = read_report(board.family, place / "report.json")
    if found.fmax * 1e6 < board.clock:
        raise FineqError(
            f"the machine reaches {found.fmax:.1f} MHz on {board.text}, which has {board.clock / 1e6:g} MHz: take a "
            "smaller array"
        )
    return found


def build(
    board: Board, config: ArrayConfig | AcceleratorConfig, script: Sequence[ScriptStep], place: Path
) -> Utilisation:
    """Make a bitstream.

    Args:
        board: with open tools.
        config: of the machine.
        script: of the self-test, or empty.
        place: directory of the build; older files are replaced.

    Raises:
        ToolError: a program is missing or fails.
        FineqError: the machine does not fit, or is too slow for the board's clock.
    """
    environment = tool_environment(board.family, place)
    write_project(board, linked_design(board, config, script), place)
    array = array_of(config)
    too_large = (
        f"an array of {array.rows} x {array.columns} does not fit {board.text}: what does is {board_size(board)}, the "
        "board's own (leave --config out)"
    )
    found = make_bitstream(board, environment, place, too_large)
    record = {
        "board": board.text,
        "config": asdict(config),
        "fingerprint": fingerprint(config),
        "utilisation": found.as_dict(),
        "selftest": len(script),
    }
    write_text(place / RECORD, json.dumps(record, indent=1) + "\n")
    return found


def board_size(board: Board) -> str:
    """Size and kind of the machine that a board has by itself."""
    array = array_of(board.machine)
    kind = "a whole accelerator" if isinstance(board.machine, AcceleratorConfig) else "a core"
    return f"{kind} of {array.rows} x {array.columns}"


def bitstream(board: Board, place: Path) -> Path:
    """The bitstream of a build.

    Raises:
        FineqError: there is none.
    """
    path = place / f"{NAME}.{BITSTREAM_ENDS.get(board.family, 'bit')}"
    if not path.is_file():
        raise FineqError(f"there is no bitstream in {place}: run `fineq board build` for this board first")
    return path
