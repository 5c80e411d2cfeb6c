"""Mutants in one run of the regression."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq_mutants.circuits import Circuit
from fineq_mutants.forking import ENDS, ORDER, RESULTS, Order, order_text
from fineq_mutants.matching import Holder
from fineq_mutants.sampling import Mutant
from fineq_mutants.verdicts import Verdicts
from fineq_sim.runs import simulators
from fineq_sim.runs.runner import CaseOutcome, VerilogDesign, read_junit, run, run_directory

_LIMIT_FACTOR, _LIMIT_EXTRA_S = 3, 10
"""Processor time of a mutant: so many times that of the run without one, and so many seconds."""

_TOGETHER = 15
"""Mutants of one start of the simulator: verdicts are kept after each."""


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
        verdicts: those that are known. Their key covers the design as delivered, the circuit, the fault and the bench,
            so a fault keeps its verdict when others are chosen.
        seed: of the bench.
        only_kept: run nothing.
    """

    def __init__(
        self,
        holder: Holder,
        circuits: dict[str, Circuit],
        mutants: Iterable[Mutant],
        *,
        output: Path,
        cache: Path,
        verdicts: Verdicts,
        seed: int,
        only_kept: bool = False,
    ) -> None:
        self.holder, self.circuits = holder, circuits
        self.mutants = [mutant for mutant in mutants if mutant.module in holder.modules]
        self.output, self.cache, self.verdicts, self.seed = output, cache, verdicts, seed
        self.only_kept = only_kept
        self._code = cache_key(
            f"fineq_sim.benches.{holder.run.bench}",
            "fineq_sim.runs.runner",
            "fineq_mutants.forking",
            "fineq_mutants.operators",
            *(["fineq_mutants.power_up"] if holder.run.random_start else []),
            inputs=[
                dict(holder.design.sources),
                [holder.run.name, dict(holder.run.parameters), holder.run.golden, holder.run.tests],
                [holder.simulator, simulators.build_versions(holder.simulator), seed],
                [_LIMIT_FACTOR, _LIMIT_EXTRA_S],
            ],
        )

    def run(self, wanted: Iterable[Mutant]) -> Iterator[tuple[Mutant, Attempt | None]]:
        """Try some of them; first the run must pass with none.

        Yields:
            A mutant and what came of it, None if that is not known and nothing is to be run.

        Raises:
            FineqError: it does not.
        """
        missing = []
        for mutant in wanted:
            kept = self.verdicts.get(self.name(mutant))
            if kept is None:
                missing.append(mutant)
            else:
                noticed, seconds = kept
                yield mutant, Attempt(noticed, seconds, kept=True)
        if self.only_kept:
            yield from ((mutant, None) for mutant in missing)
            return
        design = self.holder.with_mutants(self.circuits, self.mutants) if missing else self.holder.design
        for start in range(0, len(missing), _TOGETHER):
            for mutant, attempt in self._simulate(design, missing[start : start + _TOGETHER]):
                self.verdicts.put(self.name(mutant), [attempt.noticed, attempt.seconds])
                yield mutant, attempt

    def name(self, mutant: Mutant) -> str:
        """Of its verdict."""
        circuit = dict(self.circuits[mutant.module].netlist)
        inputs = [self._code, self.holder.modules[mutant.module], circuit, mutant.site]
        return f"bench-{cache_key('fineq_mutants.netlist', inputs=inputs)}"

    def _simulate(self, design: VerilogDesign, mutants: list[Mutant]) -> list[tuple[Mutant, Attempt]]:
        entry = self.holder.run
        directory = run_directory(self.output, f"{entry.name}-mutants")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        alone = f"alone-{self._code}"
        alone_s = self.verdicts.get(alone)
        numbers = (*(() if alone_s is not None else (0,)), *(mutant.number for mutant in mutants))
        order = Order(numbers, str(directory), _LIMIT_FACTOR, _LIMIT_EXTRA_S, alone_s)
        # One failing test is enough.
        with simulators.environment(
            self.holder.simulator, None, **{ORDER: order_text(order), "COCOTB_MAX_FAILURES": "1"}
        ):
            result = run(
                entry.name,
                design,
                f"fineq_sim.benches.{entry.bench},fineq_mutants.forking",
                self.holder.simulator,
                self.output,
                parameters=entry.settings(design, self.output),
                seed=self.seed,
                cache=self.cache,
                tests=entry.tests,
                random_start=entry.random_start,
                optimized=entry.optimized,
            )
        if not (directory / ENDS).is_file():
            raise FineqError(f"{entry.name} cannot be run with mutants: {result.error}")
        ends = {}
        for line in (directory / ENDS).read_text(encoding="utf-8").splitlines():
            number, status, seconds = json.loads(line)
            ends[number] = Attempt(_noticed(directory / str(number) / RESULTS, status), seconds)
        if alone_s is None:
            if ends[0].noticed is not None:
                raise FineqError(f"{entry.name} fails without any mutant ({ends[0].noticed}): repair that first")
            self.verdicts.put(alone, ends[0].seconds)
        return [(mutant, ends[mutant.number]) for mutant in mutants if mutant.number in ends]


def _noticed(results: Path, status: int) -> str | None:
    """The first test that failed, or how the process ended if no test did."""
    outcomes: tuple[CaseOutcome, ...] = read_junit(results) if results.is_file() else ()
    failed = [outcome.name for outcome in outcomes if outcome.failure is not None]
    if failed:
        return failed[0]
    if os.WIFSIGNALED(status):
        return f"no end: stopped by signal {os.WTERMSIG(status)}"
    return None if outcomes else f"no end: exit status {os.WEXITSTATUS(status)}"
