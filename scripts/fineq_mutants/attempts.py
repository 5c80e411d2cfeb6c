"""One mutant in one run of the regression, in a process of its own with a limit of processor time."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq_mutants.circuits import Circuit
from fineq_mutants.matching import Holder
from fineq_mutants.sampling import Mutant
from fineq_sim.runs import simulators
from fineq_sim.runs.bench_run import BenchRun
from fineq_sim.runs.regression import execute

_LIMIT_FACTOR, _LIMIT_EXTRA_S = 5, 20
"""Processor time of a mutant: so many times that of the run without one, and so many seconds."""

_FIRST_LIMIT_S = 900


@dataclass(frozen=True)
class Attempt:
    """What a run said of a mutant.

    Attributes:
        noticed: the first test that failed, or why the simulation did not end; None: all pass.
        seconds: of processor time.
        kept: taken from the cache.
    """

    noticed: str | None
    seconds: float
    kept: bool = False


class Attempts:
    """Tries mutants in one run of the regression.

    Args:
        holder: the run.
        circuits: by name.
        mutants: all that its design shall have; those in circuits that the run does not hold are left out.
        output: directory for the files of the run.
        cache: directory of built simulations.
        verdicts: directory of kept verdicts. Their key covers the design as delivered, the fault and the bench, so a
            fault keeps its verdict when others are chosen.
        seed: of the bench.
    """

    def __init__(
        self,
        holder: Holder,
        circuits: dict[str, Circuit],
        mutants: Iterable[Mutant],
        *,
        output: Path,
        cache: Path,
        verdicts: Path,
        seed: int,
    ) -> None:
        self.holder, self.circuits = holder, circuits
        self.mutants = [mutant for mutant in mutants if mutant.module in holder.modules]
        self.output, self.cache, self.verdicts, self.seed = output, cache, verdicts, seed
        self._entry: BenchRun | None = None
        self._code = cache_key(
            f"fineq_sim.benches.{holder.run.bench}",
            "fineq_sim.runs.regression",
            "fineq_mutants.netlist",
            "fineq_mutants.operators",
            inputs=[
                dict(holder.design.sources),
                [holder.run.name, dict(holder.run.parameters), holder.run.golden, holder.run.tests],
                [holder.simulator, simulators.build_versions(holder.simulator), seed],
                [_LIMIT_FACTOR, _LIMIT_EXTRA_S],
            ],
        )

    def run(self, wanted: Iterable[Mutant]) -> Iterator[tuple[Mutant, Attempt]]:
        """Try some of them; first the run must pass with none.

        Raises:
            FineqError: it does not.
        """
        files = {mutant: self._file(mutant) for mutant in wanted}
        if all(file.is_file() for file in files.values()):
            yield from ((mutant, _read(file)) for mutant, file in files.items())
            return
        clean = self.clean()
        for mutant, file in files.items():
            if file.is_file():
                yield mutant, _read(file)
                continue
            attempt = self._run(mutant.number, _LIMIT_FACTOR * clean.seconds + _LIMIT_EXTRA_S)
            self.verdicts.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps(asdict(attempt)))
            yield mutant, attempt

    def clean(self) -> Attempt:
        """The run with mutants in the design and none alive.

        Raises:
            FineqError: it fails.
        """
        if self._entry is None:
            self._entry = self.holder.entry(self.holder.with_mutants(self.circuits, self.mutants))
        attempt = self._run(0, _FIRST_LIMIT_S)
        if attempt.noticed is not None:
            raise FineqError(f"{self.holder.run.name} fails without any mutant ({attempt.noticed}): repair that first")
        return attempt

    def _file(self, mutant: Mutant) -> Path:
        inputs = [self._code, self.holder.modules[mutant.module], mutant.site]
        return self.verdicts / f"bench-{cache_key('fineq_mutants.netlist', inputs=inputs)}.json"

    def _run(self, number: int, limit_s: float) -> Attempt:
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=self._child, args=(there, number, limit_s))
        process.start()
        there.close()
        try:
            noticed, seconds = here.recv()
        except EOFError:
            noticed, seconds = "the run broke down", limit_s
        process.join()
        return Attempt(noticed, round(seconds, 2))

    def _child(self, pipe: Connection, number: int, limit_s: float) -> None:
        os.environ["COCOTB_MAX_FAILURES"] = "1"  # one is enough
        if number:
            # Only the simulation gets there: this process waits for it.
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s) + 1, int(limit_s) + 10))
        try:
            assert self._entry is not None
            arguments = (self.holder.simulator, self.output, self.cache, self.seed, False)
            result = execute(self._entry, *arguments, plusargs=[f"+mutant={number}"])
            failed = [test for test in result.tests if test.failure is not None]
            noticed = failed[0].name if failed else None
            if noticed is None and result.error is not None:
                noticed = f"no end: {result.error.splitlines()[0]}"
        except BaseException:
            noticed = f"no end: {traceback.format_exc(limit=1).splitlines()[-1]}"
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        pipe.send((noticed, used.ru_utime + used.ru_stime))


def _read(file: Path) -> Attempt:
    return replace(Attempt(**json.loads(file.read_text(encoding="utf-8"))), kept=True)
