"""Cycles of a layer from an engine: `exact`, `tile`, or `auto`, which checks the second by the first in every run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fineq_hw.config import MAX_LAYER_SIZE, AcceleratorConfig
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver.split import parts_of
from fineq_sim.perf import tile, twin
from fineq_sim.perf.build import TwinError
from fineq_sim.perf.jobs import place_jobs
from fineq_sim.study.architecture import Architecture
from fineq_sim.workloads.work import WorkloadError

ENGINES = ("auto", "tile", "exact")
BUDGET = 2.0
"""Seconds that `auto` spends on checking."""

TRUSTED = 0.02
"""Largest error of `tile` that `auto` takes."""

_PACE = 1e7
"""Cycles per second of the twin, about: to tell what fits a budget until one has been timed."""

_ALIKE = 6
"""Token tiles that the twin works through before it can leave the others out, about."""


class EngineError(WorkloadError):
    """An engine that cannot do what is asked; the text says what can."""


@dataclass(frozen=True)
class Task:
    """One layer on the machine, whatever the number of its repetitions.

    Attributes:
        name: of the layer.
        tokens, channels, inner: M, N, K.
        output: what is written.
        steps: gives the steps of its weight vectors, uint8 [inner tiles, N]. Called when they are needed.
        key: equal for tasks with equal steps.
    """

    name: str
    tokens: int
    channels: int
    inner: int
    output: OutputFormat
    steps: Callable[[], np.ndarray]
    key: object

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.tokens, self.channels, self.inner


@dataclass(frozen=True)
class Timing:
    """What an engine says of a task.

    Attributes:
        engine: that said it.
        cycles: of the task.
        counters: by name; of `tile` those that need no time.
        error: of `cycles` at most, as a share: 0 for `exact`; None: not known.
        parts: jobs that the layer was cut into.
        inner_parts: of the same channels: the host adds their sums.
    """

    engine: str
    cycles: int
    counters: Mapping[str, int]
    error: float | None
    parts: int = 1
    inner_parts: int = 1


@dataclass(frozen=True)
class Check:
    """How `auto` found the other engine.

    Attributes:
        shapes, checked: distinct shapes, and how many of them were run exactly.
        worst: largest error of `tile` among them, signed; None: none was checked.
        why: why not all were.
    """

    shapes: int
    checked: int
    worst: float | None
    why: str = ""

    def sentence(self) -> str:
        """For reports."""
        if self.worst is None:
            return f"checked exactly: 0 of {self.shapes} shapes ({self.why})"
        rest = f" ({self.why})" if self.why else ""
        worst = f"{self.worst:+.2%}" if abs(self.worst) >= 5e-5 else "below 0.01%" if self.worst else "no error"
        return f"checked exactly: {self.checked} of {self.shapes} shapes{rest}, worst {worst}"


def check_limits(task: Task, config: AcceleratorConfig) -> None:
    """Raise if the machine cannot run a layer, cut or not."""
    if task.tokens > MAX_LAYER_SIZE:
        raise EngineError(
            f"layer {task.name} has {task.tokens} tokens: the machine takes at most {MAX_LAYER_SIZE} in one job, use a "
            "shorter sequence or a smaller batch"
        )
    if config.array.columns * config.array.line_slices > config.max_inner_dimension:
        raise EngineError(
            f"layer {task.name}: a weight line is longer than the {config.max_inner_dimension} inputs that the "
            "accumulators hold, use wider ones"
        )


def run_tasks(
    architecture: Architecture,
    tasks: Sequence[Task],
    engine: str = "auto",
    budget: float = BUDGET,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> tuple[list[Timing], Check | None]:
    """Time every task.

    Args:
        architecture: the machine.
        tasks: of one study.
        engine: one of `ENGINES`.
        budget: seconds that `auto` may spend on exact runs.
        progress: told of every task done, of how many, and its name.

    Returns:
        A timing for each task; what `auto` found.

    Raises:
        EngineError: the engine is unknown or cannot do this, or a layer is beyond the machine.
        TwinError: there is no compiler for `exact`.
    """
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}: choose one of {', '.join(ENGINES)}")
    for task in tasks:
        check_limits(task, architecture.config)
    dram = architecture.memory.dram is not None
    if architecture.extrapolated and (engine == "exact" or dram):
        raise EngineError("an extrapolated machine has no RTL to be exact about: use --engine tile and a fixed memory")
    if engine == "tile" and dram:
        raise EngineError("the engine tile knows memories of fixed latency only: use --engine exact with a DRAM")
    run = _Cached(architecture, len({(task.key, task.shape, task.output) for task in tasks}), progress)
    if engine == "exact" or dram:
        return [run.exact(task) for task in tasks], None
    if engine == "tile" or architecture.extrapolated:
        timings = [run.tile(task) for task in tasks]
        if engine == "tile":
            return timings, None
        shapes = len({(task.shape, task.output) for task in tasks})
        return timings, Check(shapes, 0, None, "extrapolated, there is no RTL")
    return _auto(run, tasks, budget)


def _auto(run: _Cached, tasks: Sequence[Task], budget: float) -> tuple[list[Timing], Check]:
    timings = [run.tile(task) for task in tasks]
    first: dict[object, int] = {}
    for number, task in enumerate(tasks):
        first.setdefault((task.shape, task.output), number)
    worst, checked, why, spent, pace = None, 0, "", 0.0, _PACE
    work = {number: _exact_cycles(run.architecture, tasks[number], timings[number]) for number in first.values()}
    for number in sorted(work, key=lambda number: work[number]):
        if spent + work[number] / pace > budget:
            why = f"budget of {budget:g} s"
            break
        begun = time.monotonic()
        try:
            exact = run.exact(tasks[number])
        except TwinError as error:
            why = str(error)
            break
        if checked:  # with the first one, the program may have been compiled
            spent += time.monotonic() - begun
            pace = work[number] / (time.monotonic() - begun)
        checked += 1
        error_of_tile = timings[number].cycles / exact.cycles - 1
        worst = error_of_tile if worst is None or abs(error_of_tile) > abs(worst) else worst
    check = Check(len(first), checked, worst, why)
    if worst is not None and abs(worst) > TRUSTED:
        return [run.exact(task) for task in tasks], replace(
            check, why=f"{check.why}{', ' if check.why else ''}above {TRUSTED:.0%}: all were run exactly"
        )
    bound = None if worst is None else abs(worst)
    known = [run.known_exact(task) or replace(timing, error=bound) for task, timing in zip(tasks, timings, strict=True)]
    return known, check


def _exact_cycles(architecture: Architecture, task: Task, timing: Timing) -> float:
    """That the twin has to go through."""
    token_tiles = -(-task.tokens // architecture.config.array.rows)
    return timing.cycles * min(1.0, _ALIKE / token_tiles)


class _Cached:
    """Both engines, each task run once."""

    def __init__(self, architecture: Architecture, total: int, progress: Callable[[int, int, str], None]) -> None:
        self.architecture, self._total, self._progress = architecture, total, progress
        self._known: dict[tuple[str, object, tuple[int, int, int], OutputFormat], Timing] = {}

    def tile(self, task: Task) -> Timing:
        return self._run("tile", task)

    def exact(self, task: Task) -> Timing:
        return self._run("exact", task)

    def known_exact(self, task: Task) -> Timing | None:
        return self._known.get(("exact", task.key, task.shape, task.output))

    def _run(self, engine: str, task: Task) -> Timing:
        key = (engine, task.key, task.shape, task.output)
        if key not in self._known:
            self._known[key] = _time(self.architecture, task, engine)
            done = sum(each[0] == engine for each in self._known)
            self._progress(done, self._total, f"{task.name}, {engine}")
        return self._known[key]


def _time(architecture: Architecture, task: Task, engine: str) -> Timing:
    """All jobs of a layer as one chain."""
    config, table = architecture.config, task.steps()
    parts = parts_of(task.channels, task.inner, config)
    inner_parts = len({part.inputs.start for part in parts})
    output = OutputFormat.SUMS if inner_parts > 1 else task.output  # which the host adds up
    jobs = place_jobs(config, [(task.tokens, part.height, part.width, output) for part in parts])
    tables = []
    for part in parts:
        begin = part.inputs.start // config.array.columns
        tables.append(table[begin : begin + inner_tiles(part.width, config), part.channels])
    if engine == "exact":
        counters = twin.run(config, jobs, tables, architecture.memory)
        assert counters.cycles is not None
        return Timing(engine, counters.cycles, dict(counters.values), 0.0, len(parts), inner_parts)
    estimate = tile.estimate(config, jobs, tables, architecture.memory)
    return Timing(engine, estimate.cycles, estimate.counts, None, len(parts), inner_parts)
