"""Reports: a page for people, and JUnit for whoever runs a proof as a check."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from fineq.common.files import write_bytes
from fineq.common.markdown import table
from fineq_formal.proof import Proof, Verdict
from fineq_sim.runs.mutation import FaultOutcome

_INTRODUCTION = """\
# Proofs of the RTL

Command: `{command}`. Provers: {versions}.

A proof puts a block of `fineq_hw` beside rules and reference models in Amaranth (`scripts/fineq_formal`). It begins
after one cycle of reset from any state. ABC's pdr and k-induction prove for runs of any length, bounded model checking
for all runs of so many cycles. Inputs are free but for what the claim says and the rules of streams and buses that the
other side keeps.

{proven} of {count} proofs hold.

"""


def outcome(verdict: Verdict) -> str:
    """A verdict in a few words."""
    if verdict.result == "fails":
        return f"FAILS in cycle {verdict.cycle}: {verdict.rule or 'rule unknown'}"
    return verdict.result


def markdown(
    verdicts: Mapping[Proof, Verdict], faults: Sequence[FaultOutcome], command: str, versions: Sequence[str]
) -> str:
    """The page."""
    rows = [
        (f"`{proof.name}`", proof.claim, proof.engine.text, proof.engine.bound, f"{v.seconds:.1f}", outcome(v))
        for proof, v in verdicts.items()
    ]
    proven = sum(verdict.proven for verdict in verdicts.values())
    text = _INTRODUCTION.format(command=command, versions=", ".join(versions), proven=proven, count=len(rows))
    text += table(("proof", "claim", "engine", "holds for", "seconds", "result"), rows, "llllrl")
    if not faults:
        return text
    caught = [
        (
            fault.fault.name,
            fault.fault.meaning,
            f"`{fault.fault.file}`",
            f"`{fault.caught_by}`" if fault.caught_by is not None else "**survives**",
        )
        for fault in faults
    ]
    number = sum(fault.caught_by is not None for fault in faults)
    text += f"\n## Planted faults\n\n{number} of {len(faults)} are caught by a proof (`tests/faults`).\n\n"
    return text + table(("fault", "what is wrong", "where", "caught by"), caught)


def write_junit(verdicts: Mapping[Proof, Verdict], file: Path) -> Path:
    """Proofs as test cases: one that fails has a failure, one that is not decided an error."""
    suite = ElementTree.Element("testsuite", name="formal", tests=str(len(verdicts)))
    for proof, verdict in verdicts.items():
        name = proof.name if not verdict.rule else f"{proof.name}: {verdict.rule}"
        case = ElementTree.SubElement(suite, "testcase", name=name, time=f"{verdict.seconds:.3f}")
        if not verdict.proven:
            kind = "failure" if verdict.result == "fails" else "error"
            ElementTree.SubElement(case, kind, message=outcome(verdict))
    return write_bytes(file, ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))
