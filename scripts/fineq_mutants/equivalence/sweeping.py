"""Whether the two sides of a model ever differ: by what agrees while it counts, and else by a search.

ABC's `scorr` finds nodes that are equal in every state that can be reached, by induction over all of them at once. Two
registers that a fault keeps apart until something loads them are not equal; most proofs need that they are while a
third register says that they count. So the model gets nodes that show such registers while others of a few bits have a
certain value; nobody looks at these nodes but `scorr`, which keeps those that are equal and uses them for the rest.
Registers that are nearest to the fault come first. What this does not decide goes to ABC's `pdr`.
"""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fineq.common.tools import ToolError
from fineq_asic.mapping.yosys import run_yosys
from fineq_formal.engines import never_high
from fineq_formal.tools import Provers
from fineq_mutants.equivalence import aiger
from fineq_mutants.equivalence.model import DIFFER, SHOWN, TOP
from fineq_mutants.verdicts import UNKNOWN

CODE_PACKAGES = ("pyosys",)
"""What the programs that this starts import (`fineq.common.cache_keys`)."""

_TO_GATES = (
    f"hierarchy -check -top {TOP}",
    "flatten",
    "opt_clean",
    "memory -nomap",
    "memory_map",
    "opt -fast",
    "async2sync",
    "dffunmap",
    "formalff -clk2ff",
    "opt -fast",
    "techmap",
    "opt -fast",
    "aigmap",
    "opt_clean",
    "setundef -undriven -zero",
    "write_aiger -zinit -symbols model.aig",
)

_MOST_HINTS = 20_000
"""Nodes that are added at most."""

_SWEEP = 2
"""Time for `scorr`, in limits of other steps."""

_CONDITION_BITS = 4
"""Registers of so many bits say whether others count."""


def ever_differ(provers: Provers, work: Path, limit_s: float) -> str:
    """Whether the sides of the model in `work/model.json` do: `proven` if never, `fails` or `unknown`.

    Args:
        limit_s: for each of three steps.

    Raises:
        SynthesisError, ToolError: a program broke down.
    """
    run_yosys(["read_json model.json", *_TO_GATES], work)
    graph = aiger.read(work / "model.aig")
    # The one that matters first, so that it is easily taken out again.
    graph.outputs.insert(0, graph.outputs[graph.names[DIFFER]])
    graph.names = {name: place + 1 for name, place in graph.names.items()}
    add_hints(graph)
    graph.write(work / "hinted.aig")
    begin, end = ["read_aiger hinted.aig", "strash"], ["&get -n", "&cone -O 0 -R 1", "&put", "write_aiger proof.aig"]
    if not _abc([*begin, "scorr", *end], provers, work, _SWEEP * limit_s) and not _abc(
        [*begin, *end], provers, work, limit_s
    ):
        return UNKNOWN
    return never_high(provers, work, limit_s)


def add_hints(graph: aiger.Graph) -> None:
    """Add nodes that show registers of both sides while others of few bits have some value; the nearest ones first."""
    first, second = SHOWN
    bits = [name.removeprefix(first) for name in graph.names if name.startswith(first)]
    shown = {bit: graph.outputs[graph.names[first + bit]] for bit in bits}
    pairs = {gold: graph.outputs[graph.names[second + bit]] for bit, gold in shown.items()}
    words: dict[str, list[int]] = defaultdict(list)
    for bit, gold in shown.items():
        words[bit.partition("[")[0]].append(gold)
    few = [word for word in words.values() if len(word) <= _CONDITION_BITS]
    conditions = [*dict.fromkeys(value for word in few for value in _values(graph, word) if value > 1)]
    left = _MOST_HINTS
    for gold in nearest(graph, pairs):
        left -= 2 * len(conditions)
        if left < 0:
            return
        graph.outputs += [
            graph.conjunction(condition, side) for condition in conditions for side in (gold, pairs[gold])
        ]


def _values(graph: aiger.Graph, bits: Sequence[int]) -> list[int]:
    """For every value of a word a literal that is high while it has that value; none of an empty word."""
    if len(bits) <= 1:
        return [literal ^ low for literal in bits for low in (1, 0)]
    return [graph.conjunction(bits[0] ^ low, rest) for low in (1, 0) for rest in _values(graph, bits[1:])]


def nearest(graph: aiger.Graph, pairs: Mapping[int, int]) -> list[int]:
    """Registers whose sides differ in what they take next, then those that take something from these, and so on.

    Args:
        graph: with both sides.
        pairs: literals of registers: of the one side, and of the other.

    Returns:
        Literals of the one side.
    """
    begin = 2 + 2 * graph.inputs
    takes = {begin + 2 * number: literal for number, (literal, _) in enumerate(graph.registers)}
    # With both sides of each register taken for one, what is made alike is one as well.
    same = {0: 0}
    for gold, gate in pairs.items():
        same[gate & ~1] = gold ^ (gate & 1)
    made: dict[tuple[int, int], int] = {}

    def alike(literal: int) -> int:
        return same.get(literal & ~1, literal & ~1) ^ (literal & 1)

    for gate_node, (one, other) in graph.numbered_gates():
        low, high = sorted((alike(one), alike(other)))
        same[gate_node] = made.setdefault((low, high), gate_node)
    wanted = {gold & ~1: gold for gold, gate in pairs.items() if {gold & ~1, gate & ~1} <= {*takes}}
    found = []
    reached = {
        node
        for node, gold in wanted.items()
        if alike(takes[node]) ^ (gold & 1) != alike(takes[pairs[gold] & ~1]) ^ (pairs[gold] & 1)
    }
    new = reached
    while new:
        found += [wanted[node] for node in sorted(new)]
        depending = graph.depending(new)
        new = {node for node in wanted if node not in reached and takes[node] & ~1 in depending}
        reached = reached | new
    return found


def _abc(commands: Sequence[str], provers: Provers, work: Path, limit_s: float) -> bool:
    """Whether it was done in time.

    Raises:
        ToolError: it broke down.
    """
    command = [*provers.abc, "-q", "; ".join(commands)]
    try:
        done = subprocess.run(
            command, cwd=work, env=provers.environment, capture_output=True, text=True, timeout=limit_s
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        raise ToolError(f"ABC broke down: {' / '.join(done.stdout.splitlines()[-3:])}")
    return True
