"""Building a design for a simulator and running one cocotb testbench on it.

A built simulation is kept under the hash of everything that went into it (sources, options, versions), so a
rerun starts at once and a changed design never meets an old build.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq_hw.export.manifest import Manifest
from fineq_sim.coverage.groups import FILE_VARIABLE
from fineq_sim.coverage.report import COUNTS_FILE
from fineq_sim.runs import simulators
from fineq_sim.runs.simulators import SimulatorError

TIMESCALE = ("1ns", "1ps")
"""Needed by Icarus, which otherwise counts time in whole seconds."""

_VERILATOR_OPTIONS = (
    # Style is checked when the Verilog is written; here a warning must not stop a simulation.
    "-Wno-fatal",
    # Only the ports of the top are visible to a testbench (see `_visibility`): large arrays run much faster.
    "--no-public-flat-rw",
)


@dataclass(frozen=True)
class VerilogDesign:
    """Verilog of one top module.

    Attributes:
        top: its name.
        sources: file contents by file name.
        manifest: what the modules are.
        outputs: when each output of the top means something (`fineq_sim.runs.output_rules`).
    """

    top: str
    sources: Mapping[str, str]
    manifest: Manifest = field(default_factory=Manifest, compare=False)
    outputs: Mapping[str, str | None] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class CaseOutcome:
    """One cocotb test."""

    name: str
    seconds: float
    failure: str | None


@dataclass(frozen=True)
class RunResult:
    """All tests of one testbench run, and the seed that reproduces them."""

    name: str
    simulator: str
    seed: int
    build_seconds: float
    run_seconds: float
    tests: tuple[CaseOutcome, ...]
    error: str | None = None
    waves: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def passed(self) -> bool:
        return self.error is None and bool(self.tests) and all(test.failure is None for test in self.tests)


def default_cache() -> Path:
    """Directory of the built simulations: FINEQ_SIM_CACHE, or build/sim-cache under the current directory."""
    return Path(os.environ.get("FINEQ_SIM_CACHE", "build/sim-cache")).absolute()


def _visibility(top: str) -> str:
    return f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n'


_COVERAGE_OPTIONS = ("--coverage-line",)
_RANDOM_START_OPTIONS = ("--x-initial", "unique", "--x-assign", "unique")
"""What has no initial value gets its own random one, at run time."""
_COMPILATION = {
    False: {"VM_PARALLEL_BUILDS": "0", "OPT_FAST": "-O0"},
    True: {"VM_PARALLEL_BUILDS": "0", "OPT_FAST": "-Os"},
}
"""How Verilator's C++ is compiled, by `BenchRun.optimized`.

A run of a block takes seconds, most of them in Python, and g++ took four fifths of a regression. As one file, whose
headers are read once, and without optimization a design takes a third of the processor time.
"""

COVERAGE_FILE = "coverage.dat"
"""Where a run with coverage leaves its counts, in its directory."""


def build_key(
    design: VerilogDesign,
    simulator: str,
    waves: bool,
    coverage: bool = False,
    random_start: bool = False,
    optimized: bool = False,
) -> str:
    """Hash of everything that a build depends on."""
    options = [simulators.build_versions(simulator), waves, coverage, random_start, optimized]
    return cache_key(__name__, inputs=[*options, design.top, dict(design.sources)])


def last_lines(log: Path, count: int = 12) -> str:
    """Tail of a log file for an error message."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])


def build(
    design: VerilogDesign,
    simulator: str,
    *,
    waves: bool = False,
    coverage: bool = False,
    random_start: bool = False,
    optimized: bool = False,
    cache: Path | None = None,
) -> Path:
    """Build a design, or find it built already.

    Returns:
        The directory of the built simulation.

    Raises:
        SimulatorError: the simulator is missing or refused the design.
    """
    simulators.require(simulator)
    cache = default_cache() if cache is None else cache.absolute()
    directory = (
        cache / f"{simulator}-{design.top}-{build_key(design, simulator, waves, coverage, random_start, optimized)}"
    )
    if directory.is_dir():
        return directory
    from cocotb_tools.runner import get_runner

    cache.mkdir(parents=True, exist_ok=True)
    # Built aside and renamed, so that an interrupted build is never taken for a finished one.
    temporary = Path(tempfile.mkdtemp(prefix=f".{design.top}-", dir=cache))
    try:
        sources = []
        for name, text in sorted(design.sources.items()):
            sources.append(temporary / name)
            sources[-1].write_text(text)
        options: list[str] = []
        if simulator == "verilator":
            options.extend(_VERILATOR_OPTIONS + (_COVERAGE_OPTIONS if coverage else ()))
            options.extend(_RANDOM_START_OPTIONS if random_start else ())
            sources.insert(0, temporary / "visibility.vlt")
            sources[0].write_text(_visibility(design.top))
        log = temporary / "build.log"
        with simulators.build_environment(simulator, cache, _COMPILATION[optimized]):
            runner = get_runner(simulator)
            runner.log.setLevel("WARNING")
            try:
                runner.build(
                    sources=sources,
                    hdl_toplevel=design.top,
                    build_dir=temporary,
                    build_args=options,
                    timescale=TIMESCALE,
                    waves=waves,
                    log_file=log,
                )
            except RuntimeError as error:
                raise SimulatorError(f"{simulator} refused {design.top}:\n{last_lines(log)}") from error
        for unneeded in (*temporary.glob("*.o"), *temporary.glob("*.gch"), *temporary.glob("*.a")):
            unneeded.unlink()
        try:
            os.replace(temporary, directory)
        except OSError:
            # Another process finished the same build first.
            if not directory.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def read_junit(path: Path) -> tuple[CaseOutcome, ...]:
    """Tests of one cocotb result file."""
    outcomes = []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        problem = next((node for node in case if node.tag in ("failure", "error")), None)
        text = None
        if problem is not None:
            text = (problem.get("error_msg") or problem.get("message") or problem.text or "failed").strip()
        outcomes.append(CaseOutcome(case.get("name", "?"), float(case.get("time", 0)), text))
    return tuple(outcomes)


def run_directory(output: Path, name: str) -> Path:
    """Directory of the files of one run."""
    return output.absolute() / re.sub(r"[^\w.-]+", "_", name)


def run(
    name: str,
    design: VerilogDesign,
    test_module: str,
    simulator: str,
    output: Path,
    *,
    parameters: Mapping[str, object] | None = None,
    seed: int = 0,
    waves: bool = False,
    coverage: bool = False,
    random_start: bool = False,
    optimized: bool = False,
    cache: Path | None = None,
    tests: str | None = None,
) -> RunResult:
    """Build a design and run one cocotb test module on it.

    Args:
        name: name of the run; its files go to `output / name`.
        design: what to simulate.
        test_module: importable name of the cocotb tests.
        simulator: one of `fineq_sim.runs.simulators.SIMULATORS`.
        output: directory for logs, results and waveforms.
        parameters: what the testbench needs to know, JSON-clean; read there with `testbench.parameters()`.
        seed: cocotb's random seed.
        waves: record waveforms (VCD with Verilator, FST with Icarus).
        coverage: count the executed lines into `COVERAGE_FILE` (Verilator alone).
        random_start: what the design gives no initial value begins at random (Verilator, by the seed) or unknown
            (Icarus, where the testbench checks that outputs that mean something are known after reset).
        optimized: compile for speed: for runs that simulate long.
        cache: directory of built simulations, `default_cache()` when omitted.
        tests: regular expression; only tests whose name matches run.

    Returns:
        The outcome, also when the simulation broke down; only a missing simulator raises.

    Raises:
        SimulatorError: the simulator is missing.
    """
    simulators.require(simulator)
    from cocotb_tools.runner import get_runner

    directory = run_directory(output, name)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    started = time.monotonic()
    try:
        built = build(
            design,
            simulator,
            waves=waves,
            coverage=coverage,
            random_start=random_start,
            optimized=optimized,
            cache=cache,
        )
    except SimulatorError as failure:
        return RunResult(name, simulator, seed, time.monotonic() - started, 0.0, (), str(failure))
    build_seconds = time.monotonic() - started

    passed = dict(parameters or {})
    plusargs: list[str] = []
    if random_start and simulator == "verilator":
        plusargs += ["+verilator+rand+reset+2", f"+verilator+seed+{seed % (2**31 - 1) + 1}"]
    elif random_start:
        passed["outputs"] = dict(design.outputs)
    results, log = directory / "results.xml", directory / "run.log"
    started = time.monotonic()
    error: str | None = None
    variables = {
        "FINEQ_BENCH": json.dumps(passed),
        FILE_VARIABLE: str(directory / COUNTS_FILE),
        "COCOTB_ANSI_OUTPUT": "0",
        "PYTHONHASHSEED": "0",
    }
    with simulators.environment(simulator, None, **variables):
        runner = get_runner(simulator)
        runner.log.setLevel("CRITICAL")
        wave_file = directory / ("dump.vcd" if simulator == "verilator" else "dump.fst")
        plusargs += [f"+dumpfile_path={wave_file}"] if waves and simulator == "icarus" else []
        try:
            runner.test(
                test_module=test_module,
                hdl_toplevel=design.top,
                hdl_toplevel_lang="verilog",
                build_dir=built,
                test_dir=directory,
                results_xml=str(results),
                seed=seed,
                waves=waves,
                plusargs=plusargs,
                log_file=log,
                timescale=TIMESCALE,
                test_filter=tests,
            )
        except (RuntimeError, SystemExit) as failure:
            error = f"the simulation broke down ({failure}):\n{last_lines(log)}"
    outcomes = read_junit(results) if results.exists() else ()
    if error is None and not outcomes:
        error = f"the simulation ran no test:\n{last_lines(log)}"
    if any(outcome.failure for outcome in outcomes):
        error = None  # the failing tests say more than the exit code
    return RunResult(
        name,
        simulator,
        seed,
        build_seconds,
        time.monotonic() - started,
        outcomes,
        error,
        (wave_file,) if waves and wave_file.exists() else (),
    )
