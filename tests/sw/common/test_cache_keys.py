"""Keys of caches: whatever the deciding code reaches by imports changes them, and nothing else does."""

import ast
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

import fineq
from fineq.cli import commands
from fineq.common import cache_keys
from fineq.common.cache_keys import cache_key, code_digest, deciding_files
from fineq.evaluation.methods import find_method
from fineq_reports.accuracy.cells import deciding_modules

SOURCES = Path(fineq.__file__).parents[2]
ROOTS = ("sw", "hw", "sim", "scripts")


def calls() -> dict[str, list[ast.Call]]:
    """Calls of `cache_key` by the module they stand in."""
    found: dict[str, list[ast.Call]] = {}
    for root in ROOTS:
        for file in sorted((SOURCES / root).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "cache_key":
                    name = ".".join(file.relative_to(SOURCES / root).with_suffix("").parts)
                    found.setdefault(name, []).append(node)
    return found


SEVERAL = {
    "fineq.distributed.cluster": ["fineq.distributed.spread", "fineq.distributed.blocks", "fineq_sim.explore.cluster"],
    "fineq_asic.equivalence.whole": ["fineq_asic.equivalence.modules", "fineq_asic.equivalence.multipliers"],
    "fineq_mutants.attempts": ["fineq_sim.benches.control.tile_walk_bench", "fineq_sim.benches.machine.driver_bench"],
    "fineq_reports.accuracy.cells": ["fineq.evaluation.evaluate", "fineq.baselines.gptq", "fineq.calibrated.model"],
    "fineq_reports.ppa_run": ["fineq_reports.commands.silicon.synth", "fineq_reports.commands.silicon.pnr"],
    "fineq_sim.runs.mutation": ["fineq_sim.commands.sim", "fineq_formal.commands.formal"],
    "fineq_sim.runs.kept": ["fineq_sim.benches.control.tile_walk_bench", "fineq_sim.benches.machine.driver_bench"],
}
"""Caches that choose their modules when they run, with modules that they choose."""


def cached() -> list[str]:
    """Modules that decide what any cache of the project keeps."""
    found = set()
    for module, each in calls().items():
        for call in each:
            for argument in call.args:
                if isinstance(argument, ast.Constant):
                    found.add(argument.value)
                elif isinstance(argument, ast.Name) and argument.id == "__name__":
                    found.add(module)
                else:
                    found.update(SEVERAL[module])
    return sorted(found)


def test_every_cache_is_seen():
    assert {
        "fineq.checkpoint.quantize",
        "fineq.kernels.build",
        "fineq_asic.mapping.closure",
        "fineq_asic.power.event_simulator",
        "fineq_hw.export.conversion",
        "fineq_sim.reference.golden",
        "fineq_sim.runs.object_cache",
        "fineq_sim.runs.runner",
        "fineq_sim.runs.verilated_program",
        *SEVERAL["fineq_reports.ppa_run"],
    } <= set(cached())


@dataclass(frozen=True)
class Size:
    rows: int


class Colour(Enum):
    RED = 1


def test_inputs_and_files_count(tmp_path):
    file = tmp_path / "a.v"
    file.write_text("module a; endmodule\n")
    keys = {cache_key("fineq.format.block")}
    inputs = [1, 2, 1.5, "1", None, True, [1], {"a": 1}, {"a": 2}, Size(1), Size(2), Colour.RED, {1, 2}, {1, 3}]
    keys |= {cache_key("fineq.format.block", inputs=each) for each in inputs}
    keys.add(cache_key("fineq.format.block", files=[file]))
    file.write_text("module b; endmodule\n")
    keys.add(cache_key("fineq.format.block", files=[file]))
    keys.add(cache_key("fineq.format.temporal"))
    assert len(keys) == 3 + len(inputs) and all(len(key) == 24 for key in keys)  # no input is None


def test_inputs_that_cannot_be_told_apart_are_refused():
    for value in (object(), {1: 2}, [Path("a")]):
        with pytest.raises(ValueError, match="cannot be part of a cache key: give plain data"):
            cache_key("fineq.format.block", inputs=value)


def test_imports_are_followed_and_unrelated_code_is_not():
    files = {path.relative_to(SOURCES).as_posix() for path in deciding_files("fineq_asic.mapping.closure")}
    assert {
        "scripts/fineq_asic/mapping/closure.py",
        "scripts/fineq_asic/netlist/yosys_reader.py",  # three that a list kept by hand had missed
        "scripts/fineq_asic/library/boolean.py",
        "scripts/fineq_asic/library/pdk.py",
        "hw/fineq_hw/array/accumulator.py",
        "sw/fineq/format/block.py",
    } <= files
    assert not any("/layout/" in file or "/power/" in file or "/driver/" in file for file in files)
    assert "sw/fineq/kernels/pairs.h" in {path.relative_to(SOURCES).as_posix() for path in deciding_files(
        "fineq.kernels.build")}  # fmt: skip


def test_a_program_of_its_own_counts_with_its_package(monkeypatch):
    monkeypatch.setattr(cache_keys, "_version", lambda package: package)
    before = code_digest("fineq_hw.export.verilog")
    monkeypatch.setattr(cache_keys, "_version", lambda package: package.replace("pyosys", "pyosys, another version"))
    assert code_digest("fineq_hw.export.verilog") != before


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the sources, to change."""
    directory = tmp_path_factory.mktemp("sources")
    for name in ROOTS:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "storyteller")
        shutil.copytree(SOURCES / name, directory / name, ignore=ignored)
    return directory


def run_in(copy: Path, program: str) -> str:
    environment = {"PYTHONPATH": ":".join(str(copy / name) for name in ROOTS), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("module", cached())
def test_each_deciding_file_changes_the_key(module, copy):
    program = f"""
import pathlib
from fineq.common.cache_keys import code_digest, deciding_files
copy = pathlib.Path({str(copy)!r})
before, files = code_digest({module!r}), deciding_files({module!r})
for file in files:
    assert copy in file.parents, file
    text = file.read_bytes()
    file.write_bytes(text + b"# touched\\n")
    assert code_digest({module!r}) != before, file
    file.write_bytes(text)
assert code_digest({module!r}) == before
unrelated = copy / "scripts/fineq_reports/registers_page.py"
text = unrelated.read_bytes()
unrelated.write_bytes(text + b"# touched\\n")
assert code_digest({module!r}) == before
unrelated.write_bytes(text)
print(len(files))
"""
    assert int(run_in(copy, program)) >= 2  # at least the module and its package


PROBE = """
import sys
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import fineq.cli
else:
    from fineq.format import temporal
from importlib import import_module
CODE_FILES: tuple[str, ...] = ("probe.txt",)
CODE_PACKAGES = ("pyosys",)
def later():
    from . import errors
    return import_module("fineq.common.progress")
"""


def test_every_way_to_import_is_followed_or_refused(copy):
    package = copy / "sw/fineq/common"
    (package / "probe.py").write_text(PROBE)
    (package / "probe.txt").write_text("text\n")
    (package / "face.py").write_text("def __getattr__(name):\n    return name\n\n\nown = 1\n")
    (package / "fair.py").write_text("from fineq.common.face import own\n")
    (package / "lazy.py").write_text("from fineq.common.face import other\n")
    (package / "dynamic.py").write_text("import importlib\nx = importlib.import_module('fineq.' + 'cli')\n")
    program = """
from fineq.common.cache_keys import _reach, code_digest, deciding_files
print({"errors.py", "probe.py", "probe.txt", "progress.py"} <= {f.name for f in deciding_files("fineq.common.probe")})
print("fineq.format.temporal" in _reach(["fineq.common.probe"])[0], "pyosys" in _reach(["fineq.common.probe"])[1])
code_digest("fineq.common.fair")
for name in ("lazy", "dynamic"):
    try:
        code_digest(f"fineq.common.{name}")
    except ValueError as error:
        print(str(error).partition(".py ")[2])
"""
    assert run_in(copy, program).splitlines() == [
        "True",
        "True True",
        "takes other from fineq.common.face, which loads it on demand: import it from its module",
        "imports what only a running program knows: importlib.import_module('fineq.' + 'cli')",
    ]


def test_what_is_no_module_is_refused():
    with pytest.raises(ValueError, match="no source of module fineq.nothing: give the dotted name"):
        code_digest("fineq.nothing")


def test_code_of_every_command_can_be_followed():
    for entry in commands().values():
        assert deciding_files(entry.module)


def test_a_kept_measurement_depends_on_its_own_method():
    files = {name: set(deciding_files(*deciding_modules(find_method(name)))) for name in ("mse", "calibrated", "gptq")}
    solver = SOURCES / "sw/fineq/calibrated/solver.py"
    assert solver in files["calibrated"] and solver not in files["mse"]
