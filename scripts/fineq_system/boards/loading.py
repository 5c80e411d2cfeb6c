"""Bitstreams onto boards, by the programs that Debian has for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from fineq.common.tools import ToolError, find_tool
from fineq_system.boards.definitions import Board

_ARGUMENTS = {
    "icebreaker": ("iceprog", "-S"),
    "ulx3s-85f": ("openFPGALoader", "-b", "ulx3s"),
    "arty-a7-100": ("openFPGALoader", "-b", "arty_a7_100t"),
}
"""Program and arguments; all of them load into the FPGA and leave its flash alone."""


def load(name: str, board: Board, path: Path) -> None:
    """Load a bitstream.

    Raises:
        ToolError: the program is missing or fails.
    """
    program, package = board.programmer
    found = find_tool(program, program, f"run `apt-get install {package}`")
    arguments = _ARGUMENTS[name]
    result = subprocess.run([found, *arguments[1:], path], capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr or result.stdout).strip().splitlines()
        raise ToolError(f"{arguments[0]} could not load the board: {last[-1] if last else 'it gives no reason'}")
