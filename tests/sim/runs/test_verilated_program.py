"""Programs of a design and a C++ harness: built once, rows of a large array shared, a failure reported."""

import subprocess

import pytest

from fineq.common.cache_keys import cache_key
from fineq_hw.export.manifest import Manifest, ModuleEntry
from fineq_sim.runs import simulators, verilated_program
from fineq_sim.runs.runner import VerilogDesign, build_key, default_cache
from fineq_sim.runs.simulators import SimulatorError, object_directory
from fineq_sim.runs.verilated_program import build_program

HARNESS = """
#include "Vtop.h"
#include <cstdio>
int main() {
    Vtop top;
    top.value = 5;
    top.eval();
    std::printf("%u", static_cast<unsigned>(top.total));
}
"""


def chain(rows: int) -> VerilogDesign:
    """`total` is `value` plus one for each row."""
    row = "module add_one(input [7:0] value, output [7:0] total);\n  assign total = value + 8'd1;\nendmodule\n"
    wires = [f"  wire [7:0] sum_{i};" for i in range(rows + 1)]
    places = [f"  add_one link_{i} (.value(sum_{i}), .total(sum_{i + 1}));" for i in range(rows)]
    ends = ["  assign sum_0 = value;", f"  assign total = sum_{rows};", "endmodule", ""]
    top = "\n".join(["module chain(input [7:0] value, output [7:0] total);", *wires, *places, *ends])
    children = {f"link_{i}": "add_one" for i in range(rows)}
    entries = {
        "chain": ModuleEntry("Chain", "chain", children=children),
        "add_one": ModuleEntry("AddOne", "add_one", repeated=True),
    }
    return VerilogDesign("chain", {"add_one.v": row, "chain.v": top}, Manifest({}, entries))


@pytest.fixture
def harness(tmp_path):
    file = tmp_path / "harness.cpp"
    file.write_text(HARNESS)
    return file


@pytest.fixture
def cache(tmp_path):
    """Empty but for the objects of Verilator's library, which take long to compile."""
    directory, objects = tmp_path / "cache", object_directory(default_cache())
    directory.mkdir()
    objects.mkdir(parents=True, exist_ok=True)
    (directory / objects.name).symlink_to(objects)
    return directory


@pytest.mark.parametrize("rows", [3, pytest.param(16, marks=pytest.mark.regress)])
def test_built_once(rows, harness, cache, monkeypatch):
    """16 rows are a build in two parts."""
    program = build_program("chain", chain(rows), harness, cache)
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == str(5 + rows)
    assert {file.name for file in cache.iterdir()} == {program.name, object_directory(cache).name}

    monkeypatch.setattr(verilated_program.tempfile, "mkdtemp", lambda **_: pytest.fail("built again"))
    assert build_program("chain", chain(rows), harness, cache) == program


def test_rows_of_a_large_array_are_shared(harness, cache, monkeypatch):
    files = []

    def refuse(command, cwd, **_):
        files.append({file.name: file.read_text() for file in cwd.iterdir()})
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(verilated_program.subprocess, "run", refuse)
    for rows in (15, 16):
        with pytest.raises(SimulatorError):
            build_program("chain", chain(rows), harness, cache)
    assert "rows.vlt" not in files[0]
    assert files[1]["rows.vlt"] == '`verilator_config\nhier_block -module "add_one"\n'


def test_failure(harness, cache):
    harness.write_text(HARNESS.replace("top.value", "top.no_such_port"))
    with pytest.raises(SimulatorError, match="^Verilator could not build chain:\n") as error:
        build_program("chain", chain(2), harness, cache)
    assert "no_such_port" in str(error.value)
    assert {file.name for file in cache.iterdir()} == {object_directory(cache).name}


def test_another_compiler_builds_anew(harness, tmp_path, monkeypatch):
    """What it made is not taken for the work of the present one, neither programs nor benches."""
    keys = []

    def key(*modules, **inputs):
        keys.append(cache_key(*modules, **inputs))
        raise InterruptedError

    monkeypatch.setattr(verilated_program, "cache_key", key)
    for compiler in ("g++ 12", "g++ 13"):
        monkeypatch.setattr(simulators, "compiler_version", lambda compiler=compiler: compiler)
        with pytest.raises(InterruptedError):
            build_program("chain", chain(2), harness, tmp_path)
        keys.append(build_key(chain(2), "verilator", False))
    assert len(set(keys)) == 4
