"""What a proof is, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fineq_formal.setup import Setup


@dataclass(frozen=True)
class Engine:
    """How something is proven.

    Attributes:
        kind: `pdr`: property-directed reachability of ABC, without bound; `induction`: k-induction of an SMT solver,
            without bound; `bounded`: all runs of `depth` cycles, by bounded model checking of ABC.
        depth: k of the induction, or cycles.
    """

    kind: str = "pdr"
    depth: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("pdr", "induction", "bounded"):
            raise ValueError(f"kind is {self.kind!r}: choose pdr, induction or bounded")
        if (self.kind == "pdr") != (self.depth == 0):
            raise ValueError(f"depth is {self.depth} with engine {self.kind}: pdr has none, the others need one")

    @property
    def bound(self) -> str:
        """For reports: what it holds for."""
        return f"{self.depth} cycles" if self.kind == "bounded" else "unbounded"

    @property
    def text(self) -> str:
        return {"pdr": "ABC pdr", "induction": f"{self.depth}-induction, yices", "bounded": "ABC bmc3"}[self.kind]


PDR = Engine()


@dataclass(frozen=True)
class Proof:
    """A claim about a block.

    Attributes:
        name: `room/block/what`, the first two as in `fineq_hw`.
        claim: what is proven, in a sentence without a full stop.
        build: adds the block and the rules.
        engine: how.
        short: part of the short set, which the tests run.
    """

    name: str
    claim: str
    build: Callable[[Setup], None]
    engine: Engine = PDR
    short: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came of a proof.

    Attributes:
        result: `proven`, `fails` or `unknown` (not decided within the time limit).
        seconds: that it took, now or when it was kept.
        rule: which rule fails.
        cycle: in which cycle, the reset being cycle 0.
        trace: file with the waveform of a failure.
        kept: taken from the cache.
    """

    result: str
    seconds: float
    rule: str = ""
    cycle: int = 0
    trace: str = ""
    kept: bool = False

    @property
    def proven(self) -> bool:
        return self.result == "proven"
