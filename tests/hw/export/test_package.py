"""File lists, FuseSoC cores, smoke benches, and configurations without a name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.running.command_line import run_fineq

from fineq_hw.config import ACCELERATORS, ARRAYS
from fineq_hw.export.manifest import read_manifest
from fineq_hw.export.parameters import changed
from fineq_hw.export.smoke import smoke_bench

SMALL = ("accelerator_5x7", "accelerator_5x7_cluster", "mac8x8_accelerator_5x7")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("verilog")
    names = [word for name in (*SMALL, "fineq_5x7") for word in ("--config", name)]
    outcome = run_fineq("verilog", "--no-lint", "--output", directory, *names)
    assert outcome.code == 0, outcome.stderr
    return directory


def icarus(directory: Path, top: str) -> str:
    """What the smoke bench of a top prints."""
    if shutil.which("iverilog") is None:
        pytest.skip("no iverilog on the PATH")
    bench = directory / "smoke" / f"{top}_smoke.v"
    program = directory / "smoke" / "program"
    subprocess.run(["iverilog", "-g2005", "-o", program, "-c", f"{top}.f", bench], cwd=directory, check=True)
    return subprocess.run(["vvp", "-n", program], cwd=bench.parent, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("top", SMALL)
def test_the_smoke_bench_passes_under_icarus(written, top):
    assert icarus(written, top).startswith("PASSED")


def test_the_smoke_bench_notices_wrong_sums_and_another_machine(written, tmp_path):
    directory = tmp_path / "v"
    shutil.copytree(written, directory)
    # The first activation of the first token is its least bit wrong: three sums of that token may change.
    memory = directory / "smoke" / "accelerator_5x7_smoke.hex"
    words = memory.read_text().splitlines()
    words[16] = f"{int(words[16], 16) ^ 0x40:016x}"
    memory.write_text("\n".join(words))
    assert "FAILED" in icarus(directory, "accelerator_5x7")
    bench = directory / "smoke" / "accelerator_5x7_cluster_smoke.v"
    bench.write_text(bench.read_text().replace("accelerator_5x7_cluster dut", "accelerator_5x7 dut"))
    shutil.copy(directory / "accelerator_5x7.f", directory / "accelerator_5x7_cluster.f")
    assert "FAILED" in icarus(directory, "accelerator_5x7_cluster")


def test_every_top_has_a_list_and_a_core(written):
    manifest = read_manifest(written)
    for top, modules in manifest.tops.items():
        names = (written / f"{top}.f").read_text().split()
        assert names == [f"{module}.v" for module in modules]
        core = (written / f"{top}.core").read_text()
        assert all(f"      - {name}\n" in core for name in names)
        assert ("smoke:" in core) == (top in ACCELERATORS)


def test_fusesoc_runs_the_bench(written, tmp_path):
    if shutil.which("fusesoc") is None or shutil.which("iverilog") is None:
        pytest.skip("no fusesoc or no iverilog on the PATH")
    command = ["fusesoc", "--cores-root", str(written), "run", "--target", "smoke", "fineq:fineq:accelerator_5x7"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "PASSED" in result.stdout + result.stderr, result.stderr


@pytest.mark.regress
def test_the_smoke_bench_passes_under_verilator(written, tmp_path):
    from fineq_sim.runs import simulators

    top = "accelerator_5x7"
    options = ["--binary", "--timing", "-Wno-fatal", "-O1", "--top-module", f"{top}_smoke", "--Mdir", str(tmp_path)]
    files = [*(written / f"{top}.f").read_text().split(), f"smoke/{top}_smoke.v"]
    with simulators.environment("verilator", tmp_path):
        subprocess.run(["verilator", *options, *files, "-o", "smoke"], cwd=written, check=True, capture_output=True)
    run = subprocess.run([tmp_path / "smoke"], cwd=written / "smoke", capture_output=True, text=True, check=True)
    assert run.stdout.startswith("PASSED")


def test_benches_of_all_accelerators_can_be_made():
    for name, config in ACCELERATORS.items():
        bench = smoke_bench(name, config)
        assert not any("@" + key in bench[f"{name}_smoke.v"] for key in ("TOP", "WORDS", "DONE", "RESULTS"))


def test_a_configuration_without_a_name(tmp_path):
    arguments = ["--config", "accelerator_5x7", "--set", "rows=3", "--set", "channels_per_tile=32"]
    outcome = run_fineq("verilog", "--no-lint", "--output", tmp_path, *arguments)
    assert outcome.code == 0, outcome.stderr
    assert icarus(tmp_path, "accelerator_5x7_rows3_channels_per_tile32").startswith("PASSED")
    assert "rows=3" in (tmp_path / "accelerator_5x7_rows3_channels_per_tile32.v").read_text().splitlines()[0]


def test_parameters_have_the_types_of_those_that_they_replace():
    config = changed(ACCELERATORS["accelerator_16x16"], ["rows=32", "addresses_ahead=true", "adder_tree=behavioural"])
    assert (config.array.rows, config.addresses_ahead, config.array.adder_tree) == (32, True, "behavioural")
    assert changed(ARRAYS["fineq_5x7"], ["columns=0x10"]).columns == 16


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--config", "accelerator_5x7", "--set", "row=3"], "unknown parameter 'row': choose from accumulator_bits"),
        (["--config", "accelerator_5x7", "--set", "rows"], "'rows' is no parameter=value"),
        (["--config", "accelerator_5x7", "--set", "rows=many"], "rows is 'many': it must be an integer"),
        (["--config", "accelerator_5x7", "--set", "addresses_ahead=1"], "it must be true or false"),
        (["--config", "accelerator_5x7", "--set", "bus_bits=48"], "bus_bits is 48"),
        (["--config", "accelerator_5x7", "--set", "encoding=morse"], "encoding is 'morse'"),
        (["--set", "rows=3"], "name it with one --config"),
        (["--config", "nothing", "--set", "rows=3"], "name it with one --config"),
        (["--config", "accelerator_5x7", "--set", "rows=3", "--name", "fineq_5x7"], "is the name of another"),
        (["--config", "accelerator_5x7", "--name", "other"], "--name is for a configuration that --set changes"),
        (["--config", "fineq_5x7", "--set", "rows=3", "--name", "5x7"], "5x7"),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path, arguments, words):
    outcome = run_fineq("verilog", "--no-lint", "--output", tmp_path / "v", *arguments)
    assert outcome.code == 1
    assert words in outcome.stderr and len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr
    assert not list((tmp_path / "v").glob("*.v"))
