"""Verdicts of runs that passed, so that an interrupted regression goes on where it was.

A verdict lies in the directory of its run, under the key of everything that decides it: Verilog, testbench and all
that it imports, parameters, seed, simulator. The same run would give the same verdict, so it isn't repeated; one that
failed is never kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_sim.runs import simulators
from fineq_sim.runs.bench_run import BenchRun
from fineq_sim.runs.runner import CaseOutcome, RunResult, VerilogDesign

VERDICT_FILE = "verdict.json"
"""What a passed run leaves in its directory."""


@dataclass(frozen=True)
class KeptResult(RunResult):
    """Result of an earlier run of the same code."""


def run_key(entry: BenchRun, design: VerilogDesign, simulator: str, seed: int, waves: bool, coverage: bool) -> str:
    """Hash of everything that decides the verdict of a run."""
    sources = [design.top, dict(design.sources), dict(design.outputs)]
    options = [simulators.build_versions(simulator), seed, waves, coverage]
    modules = "fineq_sim.runs.runner", "fineq_sim.reference.golden", f"fineq_sim.benches.{entry.bench}"
    run = [entry.name, dict(entry.parameters), entry.golden, entry.tests, entry.random_start]
    return cache_key(*modules, inputs=[run, sources, options])


def keep(directory: Path, key: str, result: RunResult) -> None:
    """Write the verdict of a run into its directory, if it passed."""
    if not result.passed:
        return
    content = {
        "key": key,
        "simulator": result.simulator,
        "seed": result.seed,
        "build_seconds": result.build_seconds,
        "run_seconds": result.run_seconds,
        "tests": [[test.name, test.seconds] for test in result.tests],
        "waves": [path.name for path in result.waves],
    }
    write_text(directory / VERDICT_FILE, json.dumps(content, indent=1) + "\n")


def find(directory: Path, key: str, name: str) -> KeptResult | None:
    """The verdict of an earlier run under this key, if there is one and its waveforms are still there."""
    file = directory / VERDICT_FILE
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        tests = tuple(CaseOutcome(test, seconds, None) for test, seconds in content["tests"])
        waves = tuple(directory / wave for wave in content["waves"])
        times = content["build_seconds"], content["run_seconds"]
        result = KeptResult(name, content["simulator"], content["seed"], *times, tests, waves=waves)
    except (ValueError, KeyError, TypeError):  # damaged: as good as none, the run is made again
        return None
    return result if result.passed and all(wave.is_file() for wave in waves) else None
