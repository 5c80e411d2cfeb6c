"""Equivalence of whole designs: every module of their netlists, and small cores as a whole."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq_asic.equivalence.functional import mapped_text
from fineq_asic.equivalence.modules import EquivalenceResult, prove_module
from fineq_asic.equivalence.multipliers import prove_with_multipliers
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.closure import Mapped, Progress, Tools, map_and_close
from fineq_asic.mapping.designs import CoreDesign
from fineq_asic.netlist.netlist import Netlist
from fineq_asic.timing.opensta import Constraints
from fineq_hw.export.manifest import ModuleEntry

ProofMethod = Callable[[str, Sequence[Path], Netlist, Library, Path, Sequence[str], float], EquivalenceResult]
"""`prove_module` or `prove_with_multipliers`."""

UNDECIDED = "not decided within the limit"
LEFT = "left for the next run"


@dataclass(frozen=True)
class Proof:
    """A proof and where its module stands.

    Attributes:
        design: top of the design.
        whole: the core with nothing taken as a black box but latches and their clock gates.
        verdict: None if the solver was not done within the limit, or not asked.
        asked: the solver was asked, in this run or before.
    """

    design: str
    module: str
    whole: bool
    verdict: EquivalenceResult | None
    asked: bool = True

    @property
    def outcome(self) -> str:
        if self.verdict is None:
            return UNDECIDED if self.asked else LEFT
        return "equal" if self.verdict.proven else f"**{self.verdict.unproven} pairs unproven**: {self.verdict.first}"


def prove_design(
    mapped: Mapped,
    tools: Tools,
    work: Path,
    progress: Progress,
    *,
    whole: bool = False,
    limit_s: float = 600,
    cache: Path | None = None,
    until: float = math.inf,
) -> list[Proof]:
    """All modules of a netlist, bottom up, or with `whole` the dissolved core.

    Args:
        mapped: the design; its RTL lies in `work / "rtl"`.
        tools: library.
        work: the folder that the design was mapped in.
        progress: called with a line after each proof.
        whole: one proof of the whole core.
        limit_s: seconds after which a proof is given up.
        cache: keeps verdicts by the hash of both sides and of the method; undecided ones are not kept.
        until: `time.monotonic()` after which no proof is begun; verdicts in the cache still count.
    """
    netlist = mapped.netlist
    proofs = []
    for module in [netlist.top] if whole else netlist.bottom_up:
        obligation = _Obligation(
            module,
            rtl=sorted((work / "rtl").glob("*.v")),
            netlist=netlist,
            library=tools.library,
            black_boxes=[] if whole else [name for name in netlist.modules if name != module],
            method=prove_module if whole else method_for(mapped.entry(module)),
            work=work / "equivalence" / ("whole" if whole else module),
        )
        kept = obligation.place(cache) if cache else None
        verdict, asked = None, True
        if kept is not None and kept.is_file():
            verdict = EquivalenceResult(**json.loads(kept.read_text("utf-8")))
        elif time.monotonic() > until:
            asked = False
        else:
            verdict = obligation.prove(limit_s)
            if kept is not None and verdict is not None:
                write_text(kept, json.dumps(asdict(verdict)))
        proofs.append(Proof(mapped.design.top, module, whole, verdict, asked))
        progress(f"{mapped.design.top}: {module}: {proofs[-1].outcome}")
    return proofs


def method_for(entry: ModuleEntry) -> ProofMethod:
    """How a module is proven when those below it are black boxes.

    Rows of multipliers, and the delays around them, are swept: tens of thousands of registers that are compared as one
    circuit in no time but take hours pair by pair.
    """
    return prove_with_multipliers if entry.by_sweeping else prove_module


@dataclass(frozen=True)
class _Obligation:
    """What is to be proven of one module, and how.

    Attributes:
        module: its name.
        rtl: Verilog files of the design.
        netlist, library: the other side.
        black_boxes: modules that are not looked into on either side.
        method: of the proof.
        work: folder for scripts and logs.
    """

    module: str
    rtl: list[Path]
    netlist: Netlist
    library: Library
    black_boxes: list[str]
    method: ProofMethod
    work: Path

    def place(self, cache: Path) -> Path:
        """Where a cache keeps the verdict: by the hash of both sides and of the code of the method."""
        mapped_side = mapped_text(self.module, self.netlist, self.library, self.black_boxes)
        key = cache_key(self.method.__module__, inputs=mapped_side, files=self.rtl)
        return cache / f"verdict-{key}.json"

    def prove(self, limit_s: float) -> EquivalenceResult | None:
        """The verdict, or None if it takes longer than the limit."""
        try:
            return self.method(self.module, self.rtl, self.netlist, self.library, self.work, self.black_boxes, limit_s)
        except TimeoutError:
            return None


def prove_all(
    designs: Sequence[CoreDesign],
    tools: Tools,
    work: Path,
    progress: Progress,
    *,
    whole: Sequence[str] = (),
    limit_s: float = 600,
    cache: Path | None = None,
    until: float = math.inf,
) -> list[Proof]:
    """Module by module for every design, and as a whole for those named in `whole`."""
    found = []
    for design in designs:
        folder = work / design.top
        mapped = map_and_close(design, tools, Constraints(), folder, progress, cache)
        for dissolved in (False, True)[: 1 + (design.top in whole)]:
            found += prove_design(
                mapped, tools, folder, progress, whole=dissolved, limit_s=limit_s, cache=cache, until=until
            )
    return found


def markdown(proofs: Sequence[Proof], versions: dict[str, str], command: str, limit_s: float) -> str:
    """The log of all proofs."""
    decided = [proof.verdict for proof in proofs if proof.verdict is not None]
    equal = sum(verdict.proven for verdict in decided)
    rows = [
        [
            f"`{proof.design}`",
            "the whole core" if proof.whole else f"`{proof.module}`",
            proof.verdict.pairs if proof.verdict else "",
            proof.outcome,
        ]
        for proof in proofs
    ]
    return "\n".join(
        [
            "# Equivalence of netlists and RTL\n",
            f"Made by `{command}`. docs/flows/equivalence.md says what a proof says. "
            f"Proofs are given up after {limit_s:g} s.\n",
            f"{len(proofs)} modules and cores: {equal} equal, {len(decided) - equal} with unproven pairs, "
            + ", ".join(f"{sum(proof.outcome == text for proof in proofs)} {text}" for text in (UNDECIDED, LEFT))
            + ".\n",
            table(["design", "module", "pairs of nets", "verdict"], rows, "llrl"),
            table(["tool", "version"], versions.items(), "lr"),
        ]
    )
