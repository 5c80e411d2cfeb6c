"""`fineq verilog`: the Verilog of the named configurations, linted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed


def verilog(
    output: Annotated[Path, typer.Option(help="Directory for the Verilog files.")] = Path("build/verilog"),
    config: Annotated[list[str] | None, typer.Option(help="Top to write; may be repeated. Default: all.")] = None,
    check: Annotated[bool, typer.Option("--lint/--no-lint", help="Lint each top with Verilator.")] = True,
    show: Annotated[bool, typer.Option("--list", help="List the tops and stop.")] = False,
) -> None:
    """Write the Verilog of the named configurations, one file a module."""
    from fineq.common.tools import find_verilator
    from fineq_hw.export.lint import WHOLE_LINT_ELEMENTS, lint, lint_by_module
    from fineq_hw.export.manifest import read_manifest
    from fineq_hw.export.tops import array_of, top_components
    from fineq_hw.export.verilog import write_verilog

    if show:
        for name, (component, parameters) in top_components().items():
            array = array_of(parameters)
            print(f"{name:26} {component.__name__:14} {array.rows} x {array.columns}")
        return
    if check:
        find_verilator()
    tops = write_verilog(output, config)
    print(f"{'top':28} {'files':>5} {'lines':>7}  lint")
    failed = False
    manifest = read_manifest(output)
    checked: dict[Path, list[str]] = {}
    for top, files in tops.items():
        array = array_of(top_components()[top][1])
        complaints = []
        if check and array.rows * array.columns <= WHOLE_LINT_ELEMENTS:
            complaints = lint(top, files)
        elif check:
            complaints = lint_by_module(files, manifest, checked)
        failed |= bool(complaints)
        lines = sum(file.read_text(encoding="utf-8").count("\n") for file in files)
        verdict = f"{len(complaints)} warnings" if complaints else "clean" if check else "not run"
        print(f"{top:28} {len(files):5} {lines:7}  {verdict}")
        for complaint in complaints:
            print(complaint, file=sys.stderr)
    if failed:
        raise CheckFailed("Verilator has complaints about the Verilog: see above")
