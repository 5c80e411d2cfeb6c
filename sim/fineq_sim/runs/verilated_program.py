"""Programs of a verilated design and a C++ harness: no interpreter between the cycles.

The harness sees the top module as the class `Vtop`. A built program is kept under the hash of what went into it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq_sim.runs import simulators
from fineq_sim.runs.runner import VerilogDesign, default_cache, last_lines
from fineq_sim.runs.simulators import SimulatorError

_OPTIONS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal", "--output-split", "20000")

_ROWS_WORTH_SHARING = 16
"""Below this a build in two parts takes longer than it saves."""


def _repeated(design: VerilogDesign) -> str | None:
    """The module that is worth compiling once for all its instances."""
    modules = design.manifest.modules
    counts = Counter(child for entry in modules.values() for child in entry.children.values())
    often = [name for name, count in counts.items() if modules[name].repeated and count >= _ROWS_WORTH_SHARING]
    return often[0] if often else None


def build_program(
    name: str, design: VerilogDesign, harness: Path, cache: Path | None = None, *, headers: Sequence[Path] = ()
) -> Path:
    """Compile a design together with its harness, or find it compiled.

    The rows of a large array are the same circuit, so they are compiled once instead of once a row.

    Args:
        name: what the program simulates; begins its file name and stands in the error.
        design: Verilog; its manifest says what is repeated.
        harness: C++ source with `main`.
        cache: directory of built simulations, `default_cache()` when omitted.
        headers: what the harness includes from its own folder.

    Returns:
        The program.

    Raises:
        SimulatorError: Verilator or a program that it needs is missing, or the compilation failed.
    """
    simulators.require("verilator")
    cache = default_cache() if cache is None else cache.absolute()
    files, options = dict(design.sources), list(_OPTIONS)
    rows = _repeated(design)
    if rows is not None:
        files["rows.vlt"] = f'`verilator_config\nhier_block -module "{rows}"\n'
        options.append("--hierarchical")
    key = cache_key(
        __name__, inputs=[simulators.build_versions("verilator"), options, design.top, files], files=[harness, *headers]
    )
    program = cache / f"{name}-{key}"
    if program.is_file():
        return program
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
    try:
        for file, text in files.items():
            (work / file).write_text(text)
        log = work / "build.log"
        command = ["verilator", "--cc", "--exe", "--build", "-j", str(os.cpu_count() or 1), *options]
        command += ["--top-module", design.top, "--prefix", "Vtop", "--Mdir", "obj", "-o", "program", "-CFLAGS", "-O2"]
        command += [str(harness.absolute()), *sorted(files)]
        with simulators.environment("verilator", cache), log.open("w") as stream:
            code = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, cwd=work).returncode
        if code:
            raise SimulatorError(f"Verilator could not build {name}:\n{last_lines(log)}")
        os.replace(work / "obj" / "program", program)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return program
