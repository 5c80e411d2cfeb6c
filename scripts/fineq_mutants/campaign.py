"""The whole of it: benches of the circuit itself, equivalence, proofs, then benches of all that hold the circuit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fineq_formal.tools import Provers
from fineq_mutants.attempts import Attempts
from fineq_mutants.circuits import Circuit
from fineq_mutants.equivalence import Miters
from fineq_mutants.matching import Holder
from fineq_mutants.proofs import ProofAttempts
from fineq_mutants.sampling import Mutant

BENCH, PROOF, EQUIVALENT, SURVIVES = "bench", "proof", "equivalent", "survives"


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        mutant: which.
        result: `bench` or `proof`, which noticed it, `equivalent` or `survives`.
        by: the run and its test, the proof, or where it is equivalent.
    """

    mutant: Mutant
    result: str
    by: str = ""


@dataclass(frozen=True)
class Places:
    """Directories: of runs and models, of built simulations, of kept verdicts."""

    work: Path
    cache: Path
    verdicts: Path


class Campaign:
    """Tries mutants until something notices them.

    Args:
        circuits: by name.
        holders: runs of the regression, those with the fewest parts first.
        provers: the programs.
        places: directories.
        seed: of the benches.
        proof_limit_s: for one proof; as long for a proof of equivalence.
    """

    def __init__(
        self,
        circuits: Mapping[str, Circuit],
        holders: Sequence[Holder],
        provers: Provers,
        places: Places,
        seed: int,
        proof_limit_s: float,
    ) -> None:
        self.circuits, self.holders, self.places, self.seed = dict(circuits), holders, places, seed
        self.miters = Miters(circuits, provers, places.work / "miter", places.verdicts, proof_limit_s)
        self.proofs = ProofAttempts(provers, places.work / "proof", places.verdicts, proof_limit_s)

    def run(self, mutants: Sequence[Mutant], planted: Sequence[Mutant]) -> Iterator[Outcome]:
        """Yield outcomes as they come.

        Args:
            mutants: to be tried.
            planted: all that designs shall hold, the same for every share of them, so that a design is built once.

        Raises:
            FineqError: a run of the regression fails without any mutant.
            ToolError, SynthesisError, SimulatorError: a program is missing or broke down.
        """
        own = {mutant: self._fewest(mutant) for mutant in mutants}
        left = list(mutants)
        for holder in self.holders:
            for outcome in self._bench(holder, planted, [m for m in left if own[m] == holder.parts]):
                left.remove(outcome.mutant)
                yield outcome
        for mutant in [*left]:
            if proven := self._formal(mutant):
                left.remove(mutant)
                yield proven
        for holder in self.holders:
            for outcome in self._bench(holder, planted, [m for m in left if own[m] < holder.parts]):
                left.remove(outcome.mutant)
                yield outcome
        yield from (Outcome(mutant, SURVIVES) for mutant in left)

    def _fewest(self, mutant: Mutant) -> int:
        return min((holder.parts for holder in self.holders if mutant.module in holder.modules), default=0)

    def _bench(self, holder: Holder, planted: Sequence[Mutant], wanted: Sequence[Mutant]) -> Iterator[Outcome]:
        """Those of the wanted mutants that a run notices; its design has all that are planted, and is built once."""
        wanted = [mutant for mutant in wanted if mutant.module in holder.modules]
        if not wanted:
            return
        attempts = Attempts(
            holder,
            self.circuits,
            planted,
            output=self.places.work / "bench",
            cache=self.places.cache,
            verdicts=self.places.verdicts,
            seed=self.seed,
        )
        for mutant, attempt in attempts.run(wanted):
            if attempt.noticed is not None:
                yield Outcome(mutant, BENCH, f"{holder.run.name}: {attempt.noticed}")

    def _formal(self, mutant: Mutant) -> Outcome | None:
        if where := self.miters.equivalent(mutant.module, mutant.site):
            return Outcome(mutant, EQUIVALENT, where)
        if proof := self.proofs.noticed_by(self.circuits[mutant.module], mutant.site):
            return Outcome(mutant, PROOF, proof)
        return None
