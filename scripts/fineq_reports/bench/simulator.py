"""How fast the cycle-level simulator is, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fineq_reports.bench.records import BenchTable, Peak
from fineq_reports.bench.timing import measure, peak_of
from fineq_sim.explore.points import explored
from fineq_sim.explore.points import measure as measure_point
from fineq_sim.explore.space import Space
from fineq_sim.perf.build import TwinError, library
from fineq_sim.study.architecture import find_architecture
from fineq_sim.study.results import MissingResults, results_directory
from fineq_sim.study.run import linear_only, run_study
from fineq_sim.study.steps import find_steps
from fineq_sim.workloads.find import find_shape, find_workload
from fineq_sim.workloads.work import Workload

GOAL_MEGABYTES = 1000.0
"""What a simulation may take at most."""


def simulator(model: str, sequence: int, rounds: int) -> tuple[list[BenchTable], list[Peak], list[str]]:
    """Times of both engines on the layers of a model, one of each shape, and of points of an exploration.

    Args:
        model, sequence: a known model, and the length of its prefill.
        rounds: how often each case runs.

    Returns:
        Tables, peaks of memory, and notes about what could not be measured.
    """
    try:
        library()
        results = results_directory()
    except (TwinError, MissingResults) as error:
        return [], [], [f"The simulator was not measured: {error}."]
    architecture = find_architecture("accelerator_64x64")
    steps = find_steps("storyteller/paper", architecture.config, results, packed=False)
    whole = find_workload(model, sequences=[sequence])
    work = Workload(whole.name, whole.source, tuple(linear_only(each) for each in whole.passes))
    axes = {"encoding": ("unary", "cluster"), "columns": (48, 64, 96), "outstanding_reads": (8, 16)}
    space = Space("bench", "accelerator_64x64", axes, None, 0)
    points = list(space.points())
    exploration = explored(space, work, results, "storyteller/paper")

    def study(engine: str, energy: Path | None) -> Callable[[], object]:
        return lambda: run_study(work, architecture, steps, results=energy, attention="host", engine=engine)

    def explore() -> list[object]:
        return [measure_point(exploration, each) for each in points]

    name = f"{model}, prefill {sequence}"
    cases: dict[str, Callable[[], object]] = {
        f"exact, {name}, one layer of each shape": study("exact", None),
        f"tile, {name}, one layer of each shape": study("tile", None),
        f"tile with energy, {name}": study("tile", results),
        f"{len(points)} points of an exploration, {name}": lambda: [
            measure_point(exploration, each) for each in points
        ],
    }
    table = measure("Cycle-level simulator", cases, rounds, find_shape(model).packed_weights)
    peak = Peak(f"exact, {name}", peak_of(study("exact", None)), "goal", GOAL_MEGABYTES)
    return [table], [peak], []
