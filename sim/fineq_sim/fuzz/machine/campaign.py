"""A run of the fuzz over machines: draws cases, works through them, counts, keeps and shortens what fails."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from random import Random

from fineq_sim.fuzz.machine.cases import Case, random_case
from fineq_sim.fuzz.machine.pair import Pair
from fineq_sim.fuzz.machine.steps import Difference, Outcomes, run_case
from fineq_sim.fuzz.tally import Failure, Tally
from fineq_sim.runs.simulators import SimulatorError

CONFIG = "accelerator_5x7"


class Bench:
    """Both machines, made anew when the simulation has broken down."""

    def __init__(self, config: str = CONFIG) -> None:
        self._config = config
        self.pair = Pair(config)

    def close(self) -> None:
        self.pair.close()

    def run(self, case: Case) -> tuple[Outcomes, str, str]:
        """Outcomes of the chains, or the kind of the difference and its details."""
        try:
            return run_case(self.pair, case), "", ""
        except Difference as difference:
            return Outcomes(), str(difference.args[0]), str(difference.args[-1])
        except SimulatorError as error:
            self.pair.close()
            self.pair = Pair(self._config)
            return Outcomes(), "simulation stopped", str(error)


def fuzz_machine(
    seed: int,
    count: int,
    output: Path,
    *,
    seconds: float | None = None,
    config: str = CONFIG,
) -> tuple[Tally, int]:
    """Work through random cases.

    Args:
        seed: the same seed gives the same cases.
        count: how many; with `seconds`, at most.
        output: directory for failures.
        seconds: how long.
        config: name of the accelerator.

    Returns:
        What the chains in the cases came to, and the number of cases. Failures are shortened and lie in `output`.

    Raises:
        SimulatorError: Verilator is missing, or the build failed.
    """
    bench, draw, tally, cases = Bench(config), Random(seed), Tally(), 0
    started, processor = time.monotonic(), time.process_time()
    try:
        while cases < count and not (seconds is not None and time.monotonic() - started >= seconds):
            case = random_case(draw, bench.pair.config)
            outcomes, kind, details = bench.run(case)
            cases += 1
            for outcome, number in outcomes.items():
                tally.add("chain", outcome, number=number)
            if kind:
                tally.add("fault", kind, details)
                if tally.is_new(kind):
                    tally.fail(_record(output, shortened(bench, case, kind), kind, details))
    finally:
        bench.close()
    tally.seconds, tally.processor_seconds = time.monotonic() - started, time.process_time() - processor
    return tally, cases


def shortened(bench: Bench, case: Case, kind: str) -> Case:
    """Fewer steps, shorter chains and a plain memory, as long as the machines differ in the same way."""

    def fails(trial: Case) -> bool:
        return bench.run(trial)[1] == kind

    for plain in (replace(case, latency=1, stall=0.0), replace(case, stall=0.0)):
        if plain != case and fails(plain):
            case = plain
            break
    number = 0
    while number < len(case.steps):
        trial = replace(case, steps=case.steps[:number] + case.steps[number + 1 :])
        if fails(trial):
            case = trial
        else:
            number += 1
    for number, step in enumerate(case.steps):
        for simpler in ({"pokes": ()}, {"chain": step.chain[:1]}, {"watchdog": 0}):
            trial = replace(
                case, steps=(*case.steps[:number], replace(case.steps[number], **simpler), *case.steps[number + 1 :])
            )
            if trial != case and fails(trial):
                case = trial
    return case


def show(file: Path) -> tuple[str, str]:
    """Work through one case of a file: kind of the difference and details, or two empty texts."""
    bench = Bench()
    try:
        _, kind, details = bench.run(Case.read(file))
    finally:
        bench.close()
    return kind, details


def _record(output: Path, case: Case, kind: str, details: str) -> Failure:
    digest = hashlib.blake2b(json.dumps(asdict(case)).encode(), digest_size=6).hexdigest()
    file = case.write(output / "failures" / f"machine-{digest}.json")
    return Failure(kind, details, file, f"fineq fuzz --show {file}")
