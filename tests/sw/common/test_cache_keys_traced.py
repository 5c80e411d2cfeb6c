"""Whatever a program of the project opens while it makes something that is kept changes the key of that.

Nothing here asks the keys which files count: every Python process reports the files that it opens (an audit hook),
and the C++ compiler reports what it includes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.models.tiny_models import make_model

import fineq

SOURCES = Path(fineq.__file__).parents[2]
ROOTS = ("sw", "hw", "sim", "scripts")

HOOK = """
import os, sys
_file = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def _note(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        os.write(_file, (os.path.abspath(arguments[0]) + "\\\\n").encode())
sys.addaudithook(_note)
"""

COMPILER = """#!/bin/sh
exec {real} -MD -MF "$TRACE.$$.d" "$@"
"""

MADE = {
    ("fineq.kernels.build",): (
        "from fineq.kernels.build import load_kernel; load_kernel('unpack', 'off')",
        {"sw/fineq/kernels/unpack.cpp", "sw/fineq/format/block.py"},
    ),
    ("fineq_asic.power.event_simulator",): (
        "from fineq_asic.power.event_simulator import load_event_simulator; load_event_simulator()",
        {"scripts/fineq_asic/power/event_simulator.cpp"},
    ),
    ("fineq_sim.reference.golden",): (
        "from fineq_sim.reference.golden import make_golden; make_golden(work / 'golden', 3, 24, 2)",
        {"sw/fineq/quantizer/golden_vectors.py", "sw/fineq/quantizer/vectorised.py"},
    ),
    ("fineq_hw.export.conversion", "fineq_sim.runs.duts"): (
        "from fineq_hw.config import ARRAYS\n"
        "from fineq_sim.runs.duts import component_design\n"
        "component_design('temporal_encoder', ARRAYS['fineq_5x7'], work)",
        {"hw/fineq_hw/array/encodings/unary.py", "hw/fineq_hw/lib/hierarchy.py"},
    ),
    ("fineq_sim.runs.runner",): (
        "from fineq_sim.runs.runner import VerilogDesign, build\n"
        "build(VerilogDesign('top', {'top.v': 'module top(input a); endmodule'}), 'icarus', cache=work)",
        {"sim/fineq_sim/runs/simulators.py"},
    ),
    ("fineq_sim.runs.verilated_program",): (
        "from fineq_sim.runs.runner import VerilogDesign\n"
        "from fineq_sim.runs.verilated_program import build_program\n"
        "harness = work / 'harness.cpp'\n"
        "harness.write_text('#include \"Vtop.h\"\\nint main() { Vtop top; top.eval(); }')\n"
        "build_program('p', VerilogDesign('top', {'top.v': 'module top(input a); endmodule'}), harness, work)",
        {"sim/fineq_sim/runs/object_cache.py"},
    ),
    ("fineq_asic.mapping.closure",): (
        "from fineq_asic.mapping.closure import find_tools, map_and_close\n"
        "from fineq_asic.mapping.designs import designs_of\n"
        "from fineq_asic.timing.opensta import Constraints\n"
        "map_and_close(designs_of('5x7')[-1], find_tools(), Constraints(), work, print, work)",
        {"scripts/fineq_asic/mapping/yosys.py", "scripts/fineq_asic/library/boolean.py"},
    ),
    ("fineq.checkpoint.quantize",): (
        "from fineq.checkpoint.quantize import Options, quantize_checkpoint\n"
        "from fineq.checkpoint.source import open_source\n"
        "quantize_checkpoint(open_source(model), work / 'quantized', Options('mse'))",
        {"sw/fineq/quantizer/pairs.py", "sw/fineq/checkpoint/container.py"},
    ),
    ("fineq.evaluation.evaluate", "fineq.evaluation.recipe_methods"): (
        "from fineq.evaluation.evaluate import evaluate\n"
        "from fineq.evaluation.perplexity import Text\n"
        "from fineq.evaluation.recipe_methods import recipe_method\n"
        "evaluate(model, Text('text', 'a b c d ' * 20, 1, ''), recipe_method('mse'))",
        {"sw/fineq/evaluation/perplexity.py", "sw/fineq/models/language_model.py"},
    ),
}
"""By the modules that a cache names: what makes such content, and files that it certainly needs."""

TOUCH = """
import pathlib, sys
from fineq.common.cache_keys import code_digest
before = code_digest(*{modules!r})
for file in map(pathlib.Path, {files!r}):
    text = file.read_bytes()
    file.write_bytes(text + b"\\n")
    if code_digest(*{modules!r}) == before:
        print(file.name)
    file.write_bytes(text)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the sources without anything compiled, a hook for every Python, and compilers that report."""
    directory = tmp_path_factory.mktemp("traced")
    for name in ROOTS:
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "storyteller")
        shutil.copytree(SOURCES / name, directory / name, ignore=ignored)
    (directory / "hook").mkdir()
    (directory / "hook" / "sitecustomize.py").write_text(HOOK.replace("\\\\n", "\\n"))
    for name in ("c++", "g++"):
        if real := shutil.which(name):
            wrapper = directory / "hook" / name
            wrapper.write_text(COMPILER.format(real=real))
            wrapper.chmod(0o755)
    return directory


def run(copy: Path, program: str, trace: Path) -> str:
    path = os.pathsep.join(str(copy / name) for name in ("hook", *ROOTS))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TRACE": str(trace)}
    environment |= {"PATH": f"{copy / 'hook'}{os.pathsep}{os.environ['PATH']}", "FINEQ_CACHE": str(trace.parent)}
    environment.pop("CXX", None)
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def opened(copy: Path, trace: Path) -> set[str]:
    """Files of the project, relative to its root, that were opened or included."""
    words = set(trace.read_text().splitlines())
    for rule in trace.parent.glob(f"{trace.name}.*.d"):
        words.update(os.path.abspath(word) for word in rule.read_text().replace("\\\n", " ").split())
    files = {Path(word).relative_to(copy) for word in words if Path(word).is_relative_to(copy)}
    return {file.as_posix() for file in files if file.parts[0] in ROOTS and (copy / file).is_file()}


@pytest.mark.parametrize("modules", MADE, ids=lambda modules: modules[0])
def test_whatever_is_opened_changes_the_key(modules, copy, tmp_path):
    program, needed = MADE[modules]
    model = make_model("llama", tmp_path / "model") if "model" in program else None
    head = f"from pathlib import Path\nwork, model = Path({str(tmp_path)!r}), Path({str(model)!r})\n"
    run(copy, head + program, tmp_path / "trace")
    files = opened(copy, tmp_path / "trace")
    assert needed <= files
    touch = TOUCH.format(modules=modules, files=sorted(str(copy / file) for file in files))
    assert run(copy, touch, tmp_path / "second").split() == []
