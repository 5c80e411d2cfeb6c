"""What other projects take the Verilog by: a list of files, a FuseSoC core, and for accelerators a smoke bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fineq.common.files import write_text
from fineq_hw.config import AcceleratorConfig
from fineq_hw.export.lint import LINT_WAIVERS
from fineq_hw.export.smoke import smoke_bench
from fineq_hw.export.tops import Config

VERSION = "0.2.0"
"""Of the FuseSoC cores."""

SMOKE = "smoke"
"""Directory of the benches."""


def write_package(directory: Path, files: Mapping[str, Sequence[Path]], configs: Mapping[str, Config]) -> list[Path]:
    """Write `<top>.f` and `<top>.core` for each top, and `smoke/` for the accelerators.

    Args:
        directory: of the Verilog.
        files: of each top, its own first.
        configs: of each top.

    Returns:
        What was written.

    Raises:
        OSError: the directory cannot be written.
    """
    written = []
    for top, paths in files.items():
        names = [path.name for path in paths]
        written.append(write_text(directory / f"{top}.f", "".join(f"{name}\n" for name in names)))
        config = configs[top]
        bench: dict[str, str] = {}
        if isinstance(config, AcceleratorConfig):
            bench = smoke_bench(top, config)
        for name, text in bench.items():
            written.append(write_text(directory / SMOKE / name, text))
        written.append(write_text(directory / f"{top}.core", core_text(top, names, list(bench))))
    return written


def core_text(top: str, names: Sequence[str], bench: Sequence[str]) -> str:
    """A FuseSoC core (CAPI 2): `default` for other cores to depend on, `lint`, and `smoke` where there is a bench."""
    lines = ["CAPI=2:", f"name: fineq:fineq:{top}:{VERSION}", f'description: "FineQ: {top}"', "filesets:", "  rtl:"]
    lines += ["    files:", *(f"      - {name}" for name in names), "    file_type: verilogSource"]
    if bench:
        verilog, memory = (next(name for name in bench if name.endswith(end)) for end in (".v", ".hex"))
        lines += ["  smoke:", "    files:", f"      - {SMOKE}/{verilog}: {{file_type: verilogSource}}"]
        lines += [f"      - {SMOKE}/{memory}: {{file_type: user, copyto: {memory}}}"]
    waivers = ", ".join(f"-Wno-{name}" for name in LINT_WAIVERS)
    lines += ["targets:", "  default:", "    filesets: [rtl]", f"    toplevel: {top}"]
    lines += ["  lint:", "    filesets: [rtl]", "    default_tool: verilator", f"    toplevel: {top}"]
    lines += ["    tools:", f"      verilator: {{mode: lint-only, verilator_options: [-Wall, {waivers}]}}"]
    if bench:
        lines += ["  smoke:", "    filesets: [rtl, smoke]", "    default_tool: icarus", f"    toplevel: {top}_smoke"]
        lines += ["    tools:", "      verilator: {mode: binary, verilator_options: [--timing, -Wno-fatal]}"]
    return "\n".join(lines) + "\n"
