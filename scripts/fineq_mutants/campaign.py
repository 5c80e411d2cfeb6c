"""The whole of it: a bench of the circuit itself, equivalence, its other benches, proofs, benches of what holds it.

Before the last of these the counters of machines beside the cycle-level simulator's; last of all, for what is left,
proofs that are not found any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_formal.tools import Provers
from fineq_mutants.attempts import Attempts
from fineq_mutants.circuits import Circuit, smallest_tops
from fineq_mutants.counting import Counting, machines
from fineq_mutants.equivalence.miters import Miters
from fineq_mutants.matching import Holder
from fineq_mutants.proofs import ProofAttempts
from fineq_mutants.sampling import Mutant
from fineq_mutants.verdicts import NotKept, Verdicts

BENCH, PROOF, LOST, EQUIVALENT, SURVIVES = "bench", "proof", "lost proof", "equivalent", "survives"
UNDECIDED, OPEN = "undecided", "open"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: which.
        result: `bench` or `proof`, which noticed it, or `lost proof`, which is not found any more and not refuted,
            `equivalent` or `survives`; of a campaign that has not come to its end also `undecided`, which a bench has
            let through, and `open`, which nothing has tried.
        by: the run and its test, the proof, or where it is equivalent.
        taken_over: whether all verdicts that say so were known before.
    """

    mutant: Mutant
    result: str
    by: str = ""
    taken_over: bool = False


@dataclass(frozen=True)
class Places:
    """Directories: of runs and models, of built simulations."""

    work: Path
    cache: Path


class Campaign:
    """Tries mutants until something notices them.

    Args:
        circuits: by name.
        holders: runs of the regression, those with the fewest parts first.
        provers: the programs.
        places: directories.
        verdicts: those that are known.
        seed: of the benches.
        proof_limit_s: for one proof; as long for a proof of equivalence.
        only_kept: run nothing, say what earlier runs have found out.
    """

    def __init__(
        self,
        circuits: Mapping[str, Circuit],
        holders: Sequence[Holder],
        provers: Provers,
        places: Places,
        verdicts: Verdicts,
        seed: int,
        proof_limit_s: float,
        only_kept: bool = False,
    ) -> None:
        self.circuits, self.holders, self.places, self.seed = dict(circuits), holders, places, seed
        self.verdicts = verdicts
        self.only_kept = only_kept
        self.miters = Miters(circuits, provers, places.work / "miter", verdicts, proof_limit_s, only_kept)
        self.proofs = ProofAttempts(provers, places.work / "proof", verdicts, proof_limit_s, only_kept)
        self._open: set[Mutant] = set()
        self._counting: list[Counting] = []
        self._passed: set[Mutant] = set()
        self._anew: set[Mutant] = set()

    def run(self, mutants: Sequence[Mutant], planted: Sequence[Mutant]) -> Iterator[Outcome]:
        """Yield outcomes as they come, those of the circuits with the fewest parts around them first.

        Args:
            mutants: to be tried.
            planted: all that designs shall hold, the same for every share of them, so that a design is built once.

        Raises:
            FineqError: a run of the regression fails without any mutant.
            ToolError, SynthesisError, SimulatorError: a program is missing or broke down.
        """
        places = self.places
        self._counting = [
            Counting(name, config, self.circuits, planted, places.work / "counting", places.cache, self.verdicts)
            for name, config in machines(smallest_tops()).items()
        ]
        own = {mutant: self._fewest(mutant) for mutant in mutants}
        left = list(mutants)
        tried: set[Mutant] = set()

        def on_benches(wanted: Callable[[Holder, Mutant], bool]) -> Iterator[Outcome]:
            for holder in self.holders:
                some = [mutant for mutant in left if mutant.module in holder.modules and wanted(holder, mutant)]
                for outcome in self._bench(holder, planted, some):
                    left.remove(outcome.mutant)
                    yield outcome
                tried.update(some)

        def by(way: Callable[[Mutant], Outcome | None], parts: int) -> Iterator[Outcome]:
            for mutant in [mutant for mutant in left if own[mutant] == parts]:
                made = self.verdicts.made
                try:
                    outcome = way(mutant)
                except NotKept:
                    self._open.add(mutant)
                    continue
                finally:
                    if self.verdicts.made > made:
                        self._anew.add(mutant)
                if outcome:
                    left.remove(mutant)
                    yield outcome

        def on_own(parts: int, again: bool) -> Iterator[Outcome]:
            return on_benches(
                lambda holder, mutant: own[mutant] == holder.parts == parts and (again or mutant not in tried)
            )

        # Most of what a first run does not notice is equivalent, and a proof costs less than more runs.
        for parts in sorted(set(own.values())):
            yield from on_own(parts, again=False)
        for parts in sorted(set(own.values())):
            yield from by(self._equivalent, parts)
            yield from on_own(parts, again=True)
        for parts in sorted(set(own.values())):
            yield from by(self._proof, parts)
        for parts in sorted(set(own.values())):
            yield from by(self._counted, parts)
        yield from on_benches(lambda holder, mutant: own[mutant] < holder.parts)
        for parts in sorted(set(own.values())):
            yield from by(self._lost, parts)
        for mutant in left:
            unfinished = UNDECIDED if mutant in self._passed else OPEN
            yield self._outcome(mutant, unfinished if mutant in self._open else SURVIVES)

    def _outcome(self, mutant: Mutant, result: str, by: str = "") -> Outcome:
        return Outcome(mutant, result, by, mutant not in self._anew)

    def _fewest(self, mutant: Mutant) -> int:
        return min((holder.parts for holder in self.holders if mutant.module in holder.modules), default=0)

    def _bench(self, holder: Holder, planted: Sequence[Mutant], wanted: Sequence[Mutant]) -> Iterator[Outcome]:
        """Those of the wanted mutants that a run notices; its design has all that are planted, and is built once."""
        if not wanted:
            return
        attempts = Attempts(
            holder,
            self.circuits,
            planted,
            output=self.places.work / "bench",
            cache=self.places.cache,
            verdicts=self.verdicts,
            seed=self.seed,
            only_kept=self.only_kept,
        )
        for mutant, attempt in attempts.run(wanted):
            if attempt is None:
                self._open.add(mutant)
                continue
            if not attempt.kept:
                self._anew.add(mutant)
            if attempt.noticed is None:
                self._passed.add(mutant)
            else:
                yield self._outcome(mutant, BENCH, f"{holder.run.name}: {attempt.noticed}")

    def _equivalent(self, mutant: Mutant) -> Outcome | None:
        where = self.miters.equivalent(mutant.module, mutant.site)
        return self._outcome(mutant, EQUIVALENT, where) if where else None

    def _proof(self, mutant: Mutant) -> Outcome | None:
        proof = self.proofs.noticed_by(self.circuits[mutant.module], mutant.site)
        return self._outcome(mutant, PROOF, proof) if proof else None

    def _counted(self, mutant: Mutant) -> Outcome | None:
        for counting in self._counting:
            if mutant.module in counting.modules:
                noticed = counting.noticed(mutant, self.only_kept)
                if noticed is None:
                    self._passed.add(mutant)
                else:
                    return self._outcome(mutant, BENCH, noticed)
        return None

    def _lost(self, mutant: Mutant) -> Outcome | None:
        proof = self.proofs.lost_by(self.circuits[mutant.module], mutant.site)
        return self._outcome(mutant, LOST, proof) if proof else None
