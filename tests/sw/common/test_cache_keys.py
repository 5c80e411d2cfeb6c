"""Keys of caches: whatever the deciding code reaches by imports changes them, and nothing else does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fineq
from fineq.common.cache_keys import cache_key, code_digest, deciding_files

SOURCES = Path(fineq.__file__).parents[2]
ROOTS = ("sw", "hw", "sim", "scripts")


def test_inputs_and_files_count(tmp_path):
    file = tmp_path / "a.v"
    file.write_text("module a; endmodule\n")
    keys = {cache_key("fineq.format.block")}
    keys.add(cache_key("fineq.format.block", inputs=[1]))
    keys.add(cache_key("fineq.format.block", inputs=[2]))
    keys.add(cache_key("fineq.format.block", files=[file]))
    file.write_text("module b; endmodule\n")
    keys.add(cache_key("fineq.format.block", files=[file]))
    keys.add(cache_key("fineq.format.temporal"))
    assert len(keys) == 6 and all(len(key) == 24 for key in keys)


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


@pytest.mark.parametrize("module", ["fineq_asic.mapping.closure", "fineq_hw.export.verilog", "fineq_sim.runs.duts"])
def test_each_deciding_file_changes_the_key(module, tmp_path):
    copy = tmp_path / "copy"
    for name in ROOTS:
        shutil.copytree(SOURCES / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    program = f"""
import pathlib
from fineq.common.cache_keys import code_digest, deciding_files
before, files = code_digest({module!r}), deciding_files({module!r})
for file in files:
    assert {str(copy)!r} in str(file), file
    text = file.read_bytes()
    file.write_bytes(text + b"# touched\\n")
    assert code_digest({module!r}) != before, file
    file.write_bytes(text)
    assert code_digest({module!r}) == before, file
unrelated = pathlib.Path({str(copy)!r}) / "scripts/fineq_reports/registers_page.py"
unrelated.write_text(unrelated.read_text() + "# touched\\n")
assert code_digest({module!r}) == before
print(len(files))
"""
    environment = {"PYTHONPATH": ":".join(str(copy / name) for name in ROOTS)}
    result = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 20


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(ValueError, match="no source of module fineq.nothing: give the dotted name"):
        code_digest("fineq.nothing")
    with pytest.raises(ValueError, match="takes quantize from fineq, which loads it on demand"):
        code_digest("fineq.commands.vectors")
