"""Equivalence of whole designs: every module of their netlists, and small cores as a whole."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_asic.equivalence.modules import Verdict, mapped_text, prove_module
from fineq_asic.equivalence.multipliers import prove_with_multipliers
from fineq_asic.mapping.closure import Mapped, Progress, Tools, map_and_close
from fineq_asic.mapping.designs import Design
from fineq_asic.timing.opensta import Constraints

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
    verdict: Verdict | None
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
    rtl = sorted((work / "rtl").glob("*.v"))
    found = []
    for module in [netlist.top] if whole else netlist.bottom_up:
        kept = [] if whole else [name for name in netlist.modules if name != module]
        folder = work / "equivalence" / ("whole" if whole else module)
        # Rows of multipliers, and the delays around them: tens of thousands of registers that are compared as one
        # circuit in no time but take hours pair by pair.
        sweeping = not whole and mapped.entry(module).by_sweeping
        method = prove_with_multipliers if sweeping else prove_module
        mapped_side = mapped_text(module, netlist, tools.library, kept)
        key = cache_key(method.__module__, inputs=mapped_side, files=rtl) if cache else ""
        place = cache / f"verdict-{key}.json" if cache else None
        verdict: Verdict | None
        asked = True
        if place is not None and place.is_file():
            verdict = Verdict(**json.loads(place.read_text("utf-8")))
        elif time.monotonic() > until:
            verdict, asked = None, False
        else:
            try:
                verdict = method(module, rtl, netlist, tools.library, folder, kept, limit_s)
            except TimeoutError:
                verdict = None
            if place is not None and verdict is not None:
                write_text(place, json.dumps(asdict(verdict)))
        found.append(Proof(mapped.design.top, module, whole, verdict, asked))
        progress(f"{mapped.design.top}: {module}: {found[-1].outcome}")
    return found


def prove_all(
    designs: Sequence[Design],
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
    decided = [proof for proof in proofs if proof.verdict is not None]
    equal = sum(proof.verdict.proven for proof in decided)
    lines = [
        "# Equivalence of netlists and RTL\n",
        f"Made by `{command}`. docs/equivalence.md says what a proof says. Proofs are given up after {limit_s:g} s.\n",
        f"{len(proofs)} modules and cores: {equal} equal, {len(decided) - equal} with unproven pairs, "
        + ", ".join(f"{sum(proof.outcome == text for proof in proofs)} {text}" for text in (UNDECIDED, LEFT))
        + ".\n",
        "| design | module | pairs of nets | verdict |\n|---|---|---:|---|",
    ]
    for proof in proofs:
        name = "the whole core" if proof.whole else f"`{proof.module}`"
        pairs = str(proof.verdict.pairs) if proof.verdict else ""
        lines.append(f"| `{proof.design}` | {name} | {pairs} | {proof.outcome} |")
    rows = [f"| {name} | {version} |" for name, version in versions.items()]
    lines += ["", "| tool | version |\n|---|---:|", *rows, ""]
    return "\n".join(lines)
