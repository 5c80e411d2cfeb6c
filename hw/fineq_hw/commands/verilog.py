"""`fineq verilog`: the Verilog of the named configurations, linted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from fineq.common.errors import CheckFailed, FineqError


def verilog(
    output: Annotated[Path, typer.Option(help="Directory for the Verilog files.")] = Path("build/verilog"),
    config: Annotated[list[str] | None, typer.Option(help="Top to write; may be repeated. Default: all.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a parameter of the one --config, such as rows=32; may be repeated."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the top that --set makes.")] = None,
    check: Annotated[bool, typer.Option("--lint/--no-lint", help="Lint each top with Verilator.")] = True,
    show: Annotated[bool, typer.Option("--list", help="List the tops and stop.")] = False,
) -> None:
    """Write the Verilog of configurations, one file a module, with a file list, a FuseSoC core and a smoke bench."""
    from fineq.common.tools import find_verilator
    from fineq_hw.export.lint import WHOLE_LINT_ELEMENTS, lint, lint_by_module
    from fineq_hw.export.manifest import read_manifest
    from fineq_hw.export.package import write_package
    from fineq_hw.export.parameters import changed, changed_name
    from fineq_hw.export.tops import array_of, top_components
    from fineq_hw.export.verilog import write_verilog
    from fineq_hw.lib.hierarchy import check_identifier

    if show:
        for name, (component, parameters) in top_components().items():
            array = array_of(parameters)
            print(f"{name:26} {component.__name__:14} {array.rows} x {array.columns}")
        return
    if check:
        find_verilator()
    known = top_components()
    if changes:
        if config is None or len(config) != 1 or config[0] not in known:
            raise FineqError("--set changes one configuration: name it with one --config (`fineq verilog --list`)")
        component, parameters = known[config[0]]
        own = name or changed_name(config[0], changes)
        if own in known:
            raise FineqError(f"{own} is the name of another configuration: choose another one with --name")
        try:
            check_identifier(own)
        except ValueError as error:
            raise FineqError(str(error)) from error
        known[own] = component, changed(parameters, changes)
        config = [own]
    elif name is not None:
        raise FineqError("--name is for a configuration that --set changes: give both")
    tops = write_verilog(output, config, known)
    write_package(output, tops, {top: known[top][1] for top in tops})
    print(f"{'top':28} {'files':>5} {'lines':>7}  lint")
    failed = False
    manifest = read_manifest(output)
    checked: dict[Path, list[str]] = {}
    for top, files in tops.items():
        array = array_of(known[top][1])
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
