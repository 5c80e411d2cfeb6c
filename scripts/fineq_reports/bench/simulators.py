"""Both engines of the cycle-level simulator beside SCALE-Sim, on the same products."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from fineq.common.errors import FineqError
from fineq_reports.bench.machine import describe_machine
from fineq_reports.bench.records import Peak, Report
from fineq_reports.bench.scale_sim import INSTALL, ScaleSim
from fineq_reports.bench.timing import measure
from fineq_sim.perf.build import TwinError, library
from fineq_sim.study.architecture import find_architecture
from fineq_sim.study.results import results_directory
from fineq_sim.study.run import run_study
from fineq_sim.study.steps import find_steps
from fineq_sim.workloads.work import Linear, Pass, Workload

PRODUCTS = {"512 x 512 x 512": (512, 512, 512), "LLaMA-2 7B, query projection, 64 tokens": (64, 4096, 4096)}
"""M, N, K."""

SMALL = {"64 x 64 x 64": (64, 64, 64)}
"""For a look at whether it works."""

ARCHITECTURE, STEPS = "accelerator_64x64", "storyteller/paper"


def run_simulator_bench(python: Path | None, small: bool = False) -> Report:
    """Times of the engines and of SCALE-Sim, one after the other: once, since SCALE-Sim takes minutes.

    Args:
        python: of SCALE-Sim's environment; None: it is not measured.
        small: one small product only.

    Raises:
        FineqError: there is no compiler for `exact`, or no SCALE-Sim where it should be.
    """
    try:
        library()
    except TwinError as error:
        raise FineqError(f"the exact engine cannot be measured: {error}") from error
    architecture = find_architecture(ARCHITECTURE)
    steps = find_steps(STEPS, architecture.config, results_directory(), packed=False)
    rival = None
    if python is not None:
        rival = ScaleSim(python, architecture.config.array.rows, architecture.config.array.columns)
        rival.check()
    report = Report(describe_machine(), {"rounds": 1, "threads": 1})
    said: list[str] = []
    for name, sizes in (SMALL if small else PRODUCTS).items():
        work = Workload(name, "a product", (Pass("given", None, (Linear(name, *sizes),)),))

        def study(engine: str, work: Workload = work) -> Callable[[], object]:
            return lambda: run_study(work, architecture, steps, attention="host", engine=engine)

        cases = {"exact": study("exact"), "tile": study("tile")}
        if rival is not None:

            def by_rival(rival: ScaleSim = rival, sizes: tuple[int, int, int] = sizes, name: str = name) -> None:
                said.append(f"SCALE-Sim gives {name} {rival.cycles(*sizes):,} cycles")

            cases["SCALE-Sim 3.0.0"] = by_rival
        macs = sizes[0] * sizes[1] * sizes[2]
        report.tables.append(measure(name, cases, 1, macs, warm=rival is None))
    if rival is None:
        report.notes.append(f"SCALE-Sim was not measured: give --scale-sim the Python of `{INSTALL}`.")
    else:
        # A child's peak: what all that were waited for reached at most.
        megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
        report.peaks.append(Peak("SCALE-Sim 3.0.0, the largest product", megabytes, "1000 MB", 1000.0))
        report.notes.extend(f"{sentence}: its array multiplies, it is no model of ours." for sentence in said)
    report.notes.append(
        f"The machine of `exact` and `tile` is {ARCHITECTURE} with steps {STEPS}, and all its counters come with the "
        "cycles; SCALE-Sim's is an input-stationary array of the same size on a bus of 16 words per cycle."
    )
    return report
