"""Finds and runs OpenROAD."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fineq.common.tools import find_tool
from fineq_asic.errors import SynthesisError
from fineq_asic.layout.script import MARK
from fineq_asic.timing.opensta import OPENROAD_VARIABLE

HOW_TO_GET = (
    "install a package from https://github.com/Precision-Innovations/OpenROAD/releases or build "
    "https://github.com/The-OpenROAD-Project/OpenROAD"
)

_ERROR = re.compile(r"^(?:\[ERROR .*|Error: .*|.*\bSegmentation fault\b.*)$", re.MULTILINE)


def find_openroad() -> Path:
    """Locate OpenROAD: `OPENROAD_EXE`, then the PATH.

    Raises:
        SynthesisError: there is none; the text says how to get it.
    """
    how = f"{HOW_TO_GET}, then set {OPENROAD_VARIABLE} if needed"
    return find_tool("OpenROAD", "openroad", how, OPENROAD_VARIABLE, SynthesisError).resolve()


def openroad_version(executable: Path) -> str:
    """What OpenROAD says of its version."""
    with tempfile.TemporaryDirectory() as directory:
        result = subprocess.run(
            [str(executable), "-version"], cwd=directory, capture_output=True, text=True, check=False
        )
    lines = result.stdout.strip().splitlines()
    return lines[0].split()[0] if lines else "unknown"


def run_openroad(
    executable: Path, script: str, work: Path, threads: int, progress: Callable[[str], None] | None = None
) -> str:
    """Run a script and return its output, which also goes to `work/openroad.log`.

    Args:
        executable: OpenROAD.
        script: its commands.
        work: where it runs.
        threads: of the router.
        progress: called with a line at the start of each step of the script.

    Raises:
        SynthesisError: OpenROAD fails or stops before the end of the script.
    """
    file = work / "layout.tcl"
    file.write_text(script, encoding="utf-8")
    command = [str(executable), "-no_splash", "-no_init", "-threads", str(threads), "-exit", file.name]
    started = time.monotonic()
    lines = []
    with (
        (work / "openroad.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            log.write(line)
            log.flush()
            lines.append(line)
            if progress and line.startswith(MARK):
                progress(f"  {time.monotonic() - started:6.0f} s  {line.removeprefix(MARK).strip()}")
    output = "".join(lines)
    trouble = _ERROR.search(output)
    if trouble or process.returncode != 0 or f"{MARK} end" not in output:
        steps = re.findall(rf"^{MARK} (.*)$", output, re.MULTILINE)
        reason = trouble.group().strip() if trouble else f"exit status {process.returncode}"
        step = steps[-1] if steps else "start"
        raise SynthesisError(f"OpenROAD failed in step {step!r}: {reason} (log: openroad.log)")
    return output
