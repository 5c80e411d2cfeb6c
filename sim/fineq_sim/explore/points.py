"""One point of an exploration: time, energy and area of a machine on a workload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fineq_hw.config import MacConfig
from fineq_sim.energy.fit import ArrayFit
from fineq_sim.energy.model import EnergyModel
from fineq_sim.energy.synthesis import read_reports
from fineq_sim.explore.space import Space, architecture
from fineq_sim.perf.jobs import longest_steps
from fineq_sim.study.architecture import Architecture, ArchitectureError
from fineq_sim.study.run import linear_only, run_study
from fineq_sim.study.steps import Bound, StepSource, find_steps
from fineq_sim.workloads.work import Workload

MEASURED_COLUMNS = 64
"""Columns of the arrays whose steps were measured."""


@dataclass(frozen=True)
class Exploration:
    """What is the same for all points.

    Attributes:
        space: of machines.
        workload: that each of them does, linear layers alone.
        results: directory of measurements.
        steps: see `fineq_sim.study.steps.find_steps`.
    """

    space: Space
    workload: Workload
    results: Path
    steps: str | None


def explored(space: Space, workload: Workload, results: Path, steps: str | None) -> Exploration:
    """An exploration of the linear layers of a workload."""
    passes = tuple(linear_only(each) for each in workload.passes)
    return Exploration(space, replace(workload, passes=passes), results, steps)


def measurements(results: Path) -> list[Path]:
    """The files of a directory of results that points depend on."""
    patterns = ("synth-*.json", "array-energy-*.json", "encodings.csv")
    return sorted(path for pattern in patterns for path in results.glob(pattern))


@cache
def array_fit(results: Path) -> ArrayFit:
    """Figures of arrays, read once a process."""
    return ArrayFit(read_reports(results))


def measure(exploration: Exploration, point: Mapping[str, Any], engine: str = "tile") -> dict[str, Any]:
    """Time, energy and area of a point; `refused` says why a machine cannot be built.

    Returns:
        Values by name: seconds, joule_chip, joule_low, joule_high, mm2 (array and SRAM), busy, steps, engine,
        measured (the array was synthesised at this size).

    Raises:
        MissingSynthesis: the kind of array has not been synthesised.
    """
    try:
        machine = architecture(exploration.space, point)
    except ArchitectureError as error:
        return {"refused": str(error)}
    array, measured = array_fit(exploration.results).array(machine.config.array)
    model = EnergyModel(
        machine.config,
        array,
        machine.clock_mhz,
        None,
        machine.energy.dram_pj_per_bit,
        empty_rows=machine.energy.empty_rows,
    )
    exact = machine.memory.dram is not None
    study = run_study(
        exploration.workload,
        machine,
        _steps(exploration, machine),
        attention="host",
        engine="exact" if exact else engine,
        model=model,
    )
    seconds = sum(each.seconds for each in study.outcomes)
    energies = [each.energy for each in study.outcomes if each.energy is not None]
    together = sum(energies[1:], energies[0])
    low, high = together.total_range
    return {
        "seconds": seconds,
        "joule_chip": together.on_chip,
        "joule_low": low,
        "joule_high": high,
        "mm2": array.area_um2 * 1e-6 + model.sram_area_mm2,
        "busy": sum(each.busy * each.seconds for each in study.outcomes) / seconds,
        "steps": study.outcomes[0].steps_per_vector,
        "engine": "exact" if exact else engine,
        "measured": measured,
    }


def _steps(exploration: Exploration, machine: Architecture) -> StepSource:
    """One assumption a point: the middle of a range, and for other columns than were measured the chance that none of
    them needs more steps, taken as independent."""
    config = machine.config
    found = find_steps(exploration.steps, config, exploration.results, packed=False)
    if isinstance(config.array, MacConfig):
        return found
    longest = longest_steps(config)
    shares = tuple(sum(each.shares[step] for each in found.bounds) / len(found.bounds) for step in range(longest))
    bound = Bound("given", for_columns(shares, config.array.columns) if found.early_termination else shares)
    return StepSource((bound,), found.said, found.early_termination)


def for_columns(shares: tuple[float, ...], columns: int) -> tuple[float, ...]:
    """Shares of vectors of another width: all of its parts must have ended."""
    total, before, found = 0.0, 0.0, []
    for share in shares:
        total += share
        ended = min(total, 1.0) ** (columns / MEASURED_COLUMNS)
        found.append(ended - before)
        before = ended
    return (*found[:-1], 1 - sum(found[:-1]))
