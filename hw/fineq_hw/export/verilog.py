"""Writes the Verilog of the named configurations, one file a module, and lints it with Verilator.

    fineq verilog --output build/verilog

Tops: `<array>` is a `TemporalCore`, `<array>_packed` a `PackedCore`, `<mac>` a `MacCore`, `<accelerator>` an
`Accelerator` or a `MacAccelerator`, with the names of `fineq_hw.config`. The same configurations give the same
bytes, wherever and in whatever company they are written.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import UnusedElaboratable
from amaranth.lib import wiring

from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq.common.tools import ToolError, find_verilator
from fineq_hw.accelerator import Accelerator, MacAccelerator
from fineq_hw.array.core import PackedCore, TemporalCore
from fineq_hw.baseline.mac_core import MacCore
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.lib.hierarchy import Modules, check_namesakes, collecting

MANIFEST = "manifest.json"

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

_YOSYS_SCRIPT = """
read_rtlil {name}.il
proc
opt_clean
opt_expr
opt_merge
opt_clean
opt_dff
setundef -zero
pmuxtree
opt_expr
opt_clean
write_verilog -noattr {name}.v
"""
"""Processes become registers and conditional assignments, which every Verilog tool of the last 25 years reads."""

_YOSYS_PROGRAM = """
import os, pathlib
from pyosys import libyosys as ys
for script in sorted(pathlib.Path().glob("*.ys")):
    child = os.fork()
    if child == 0:
        ys.run_pass(f"script {script}", ys.Design())
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(1)
"""
"""Every module starts from the same state of Yosys, so its text does not depend on the others."""

CODE_PACKAGES = ("pyosys",)
"""What the program imports (`fineq.common.cache_keys`)."""


Config = ArrayConfig | MacConfig | AcceleratorConfig


def top_components() -> dict[str, tuple[type[wiring.Component], Config]]:
    """Component class and configuration by top module name."""
    tops: dict[str, tuple[type[wiring.Component], Config]] = {}
    for name, config in ARRAYS.items():
        tops[name] = (TemporalCore, config)
        tops[f"{name}_packed"] = (PackedCore, config)
    for name, mac in MACS.items():
        tops[name] = (MacCore, mac)
    for name, accelerator in ACCELERATORS.items():
        kind = MacAccelerator if isinstance(accelerator.array, MacConfig) else Accelerator
        tops[name] = (kind, accelerator)
    return tops


def array_of(config: Config) -> ArrayConfig | MacConfig:
    """The array of a configuration."""
    return config.array if isinstance(config, AcceleratorConfig) else config


def collect(tops: Mapping[str, wiring.Component]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Convert components and everything placed in them.

    Returns:
        RTLIL text by module name (Verilog of components that bring their own, as latches do), and the names of
        the modules placed directly in each module.
    """
    texts: dict[str, str] = {}
    children: dict[str, list[str]] = {}
    known = {name: component.signature for name, component in tops.items()}
    waiting: Modules = dict(tops)
    with warnings.catch_warnings():
        # Of all components with one module name only the first is elaborated; the others are meant to be dropped.
        warnings.simplefilter("ignore", UnusedElaboratable)
        while waiting:
            name, component = next(iter(waiting.items()))
            del waiting[name]
            if hasattr(component, "VERILOG"):
                texts[name], children[name] = component.VERILOG, []
                continue
            found: Modules = {}
            with collecting(found):
                texts[name] = rtlil.convert(component, name=name, emit_src=False)
            children[name] = sorted(found)
            for child, part in found.items():
                check_namesakes(child, known.setdefault(child, part.signature), part.signature)
                if child not in texts:
                    waiting.setdefault(child, part)
                del part
        del found, component
        gc.collect()
    return texts, children


def convert(tops: Mapping[str, wiring.Component]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Verilog of components and everything placed in them.

    Args:
        tops: components by the module names they shall have.

    Returns:
        Verilog text by module name, and for each top the names of all its modules, itself first.

    Raises:
        ToolError: Yosys (the `pyosys` wheel) is missing or fails.
    """
    texts, children = collect(tops)
    modules = _to_verilog(texts)
    hierarchy = {}
    for top in tops:
        names = [top]
        for name in names:
            names += [child for child in children[name] if child not in names]
        hierarchy[top] = names
    return modules, hierarchy


def _to_verilog(texts: Mapping[str, str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        for name, text in texts.items():
            if text.startswith("module "):
                (work / f"{name}.v").write_text(text, encoding="utf-8")
                continue
            (work / f"{name}.il").write_text(text, encoding="utf-8")
            (work / f"{name}.ys").write_text(_YOSYS_SCRIPT.format(name=name), encoding="utf-8")
        command = [sys.executable, "-c", _YOSYS_PROGRAM]
        result = subprocess.run(command, cwd=work, capture_output=True, text=True)
        if result.returncode:
            lines = (result.stdout + result.stderr).strip().splitlines()
            raise ToolError(f"Yosys could not write the Verilog: {lines[-1] if lines else 'no message'}")
        return {name: _with_header(name, (work / f"{name}.v").read_text(encoding="utf-8")) for name in sorted(texts)}


def _with_header(name: str, text: str) -> str:
    """Our header in place of Yosys' own, which names its version and compiler."""
    return f"// FineQ: {name}\n" + text[text.index(f"module {name}(") :]


def write_verilog(directory: Path | str, names: Iterable[str] | None = None) -> dict[str, list[Path]]:
    """Write the Verilog of named tops and a manifest with the SHA-256 of each file.

    Args:
        directory: made if absent. Files of earlier runs that are no longer needed stay.
        names: of `top_components`; all if None.

    Returns:
        The files of each top, the top's own first.

    Raises:
        FineqError: an unknown name.
        OSError: the directory cannot be written.
        ToolError: Yosys is missing or fails.
    """
    known = top_components()
    chosen = list(known) if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise FineqError(f"unknown configuration {name!r}: choose from {', '.join(known)}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    modules, hierarchy = convert({name: known[name][0](known[name][1]) for name in chosen})
    checksums = {}
    for name, text in sorted(modules.items()):
        if name in known:
            component, config = known[name]
            text = text.replace(f"// FineQ: {name}\n", f"// FineQ: {name}, {component.__name__} of {config}\n", 1)
        write_text(directory / f"{name}.v", text)
        checksums[f"{name}.v"] = hashlib.sha256(text.encode()).hexdigest()
    files = {top: [f"{name}.v" for name in parts] for top, parts in hierarchy.items()}
    write_text(directory / MANIFEST, json.dumps({"tops": files, "sha256": checksums}, indent=1) + "\n")
    return {top: [directory / name for name in parts] for top, parts in files.items()}


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


def lint_by_module(files: Iterable[Path], checked: dict[Path, list[str]]) -> list[str]:
    """As `lint`, but each module by itself, with the modules it contains reduced to their ports.

    Args:
        files: one module each.
        checked: complaints by file so far; files in it are not linted again, new ones are added.
    """
    files = list(files)
    texts = {file: file.read_text(encoding="utf-8") for file in files}
    with tempfile.TemporaryDirectory() as directory:
        for file in files:
            if file not in checked:
                stubs = [Path(directory) / other.name for other in files if f"\n  {other.stem} " in texts[file]]
                for stub in stubs:
                    stub.write_text(_stub(texts[file.parent / stub.name]), encoding="utf-8")
                checked[file] = lint(file.stem, [file, *stubs])
    return [complaint for file in files for complaint in checked[file]]


def _stub(text: str) -> str:
    """A module with its ports and no contents."""
    header = text[text.index("module ") : text.index(";") + 1]
    ports = re.findall(r"^  (?:input|output) .*;$", text, re.MULTILINE)
    return "\n".join(["/* verilator lint_off UNDRIVEN */", header, *ports, "endmodule", ""])
