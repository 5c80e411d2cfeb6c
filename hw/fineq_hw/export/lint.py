"""Verilator's opinion of the generated Verilog."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fineq.common.tools import find_verilator
from fineq_hw.export.manifest import Manifest, ModulePort

LINT_WAIVERS: dict[str, str] = {
    "WIDTHEXPAND": "Yosys leaves the extension of operands to Verilog's rules; Amaranth has computed every width",
    "WIDTHTRUNC": "Yosys writes a comparison with zero as `!` of a vector",
    "PROCASSINIT": "registers have initial values, for simulators and FPGAs",
    "UNUSEDSIGNAL": "clocked modules have clk and rst alike, also where no register is reset; carries out of the top "
    "column of an adder tree are dropped on purpose",
}
"""Verilator warnings that are switched off, and why."""

WHOLE_LINT_ELEMENTS = 1024
"""Tops with more processing elements are linted module by module; Verilator would take minutes to expand them."""


def lint(top: str, files: Iterable[Path]) -> list[str]:
    """Verilator's complaints about a top and everything below it, one per line; empty if there are none.

    Raises:
        ToolError: Verilator is missing.
    """
    command, environment = find_verilator()
    waivers = [f"-Wno-{name}" for name in LINT_WAIVERS]
    result = subprocess.run(
        [*command, "--lint-only", "-Wall", *waivers, "--top-module", top, *map(str, files)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    complaints = [line for line in result.stderr.splitlines() if line.startswith("%")]
    if result.returncode and not complaints:
        complaints = [f"Verilator failed with exit code {result.returncode}: {result.stderr.strip()[-300:]}"]
    return complaints


def lint_by_module(files: Iterable[Path], manifest: Manifest, checked: dict[Path, list[str]]) -> list[str]:
    """As `lint`, but each module by itself, with the modules it contains reduced to their ports.

    Args:
        files: one module each, named after it.
        manifest: says what the modules contain, and their ports.
        checked: complaints by file so far; files in it are not linted again, new ones are added.
    """
    files = list(files)
    with tempfile.TemporaryDirectory() as directory:
        for file in files:
            if file not in checked:
                stubs = []
                for name in sorted(set(manifest.entry(file.stem).children.values())):
                    stubs.append(Path(directory) / f"{name}.v")
                    stubs[-1].write_text(stub(name, manifest.entry(name).ports), encoding="utf-8")
                checked[file] = lint(file.stem, [file, *stubs])
    return [complaint for file in files for complaint in checked[file]]


def stub(name: str, ports: Iterable[ModulePort]) -> str:
    """Verilog of a module with its ports and no contents; names are escaped, some are keywords."""
    escaped = [(port, f"\\{port.name} ") for port in ports]
    declarations = [
        f"  {port.direction} {f'[{port.bits - 1}:0] ' if port.bits > 1 else ''}{text};" for port, text in escaped
    ]
    header = f"module {name}({', '.join(text for _, text in escaped)});"
    return "\n".join(["/* verilator lint_off UNDRIVEN */", header, *declarations, "endmodule", ""])
