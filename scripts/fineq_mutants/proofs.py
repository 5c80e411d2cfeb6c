"""The proofs of `fineq_formal` on circuits with a fault.

A proof has a configuration of its own, as small as its block allows. There the same fault is planted: in the cell that
comes from the same line of the sources and is of the same type, the same one of these in order, at the same port and
bit. Where there is no such cell, the proof does not match.
"""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.hdl import UnusedElaboratable

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_asic.mapping.yosys import run_yosys
from fineq_formal.catalog import PROOFS
from fineq_formal.conversion import setup_rtlil
from fineq_formal.engines import prove
from fineq_formal.proof import Proof
from fineq_formal.setup import Setup
from fineq_formal.tools import Provers
from fineq_hw.export.conversion import collect
from fineq_hw.export.manifest import Manifest
from fineq_hw.lib.hierarchy import Placed, collecting
from fineq_mutants.circuits import Circuit, to_json, without_roots
from fineq_mutants.netlist import Netlist
from fineq_mutants.operators import Site, plant, sites
from fineq_mutants.verdicts import UNKNOWN, NotKept, Verdicts

CODE_PACKAGES = ("pyosys",)
"""What the programs that this starts import (`fineq.common.cache_keys`)."""


_SEARCH, _PATIENCE = 6, 18
"""How often the limit of a proof: one that is found within the first without a fault, and not within the second with
it, is lost."""


@dataclass(frozen=True)
class ProvenCircuit:
    """A proof with its modules apart.

    Attributes:
        proof: what is proven.
        top: RTLIL of rules and reference models, with instances of the modules.
        rules: of the proof.
        texts: RTLIL of the modules by name.
        manifest: what the modules are.
        under_test: names of the modules that the proof itself sets up.
    """

    proof: Proof
    top: str
    rules: Sequence[str]
    texts: Mapping[str, str]
    manifest: Manifest
    under_test: frozenset[str]

    def block(self, module: str) -> str:
        """What the component of a module calls itself."""
        return self.manifest.entry(module).kind


def proven_circuits() -> list[ProvenCircuit]:
    """All proofs of blocks that are modules; quick engines first."""
    with warnings.catch_warnings():
        # Modules with one name are elaborated once, whichever of them is first.
        warnings.simplefilter("ignore", UnusedElaboratable)
        found = _take_apart()
        gc.collect()
    return found


def _take_apart() -> list[ProvenCircuit]:
    found = []
    for proof in sorted(PROOFS, key=lambda proof: (not proof.short, proof.engine.depth)):
        setup, placed = Setup(), Placed()
        with collecting(placed):
            proof.build(setup)
            top = setup_rtlil(setup)
        if not placed.modules:
            continue
        texts, manifest = collect(dict(placed.modules), emit_src=True)
        if any(text.startswith("module ") for text in texts.values()):
            continue  # written in Verilog by hand
        # Where this checkout lies decides nothing.
        texts = {name: without_roots(text) for name, text in texts.items()}
        found.append(ProvenCircuit(proof, top, setup.rules, texts, manifest, frozenset(placed.modules)))
    return found


def _same_place(site: Site, source: Netlist, target: Netlist) -> Site | None:
    """The same fault in the circuit of another configuration."""

    def alike(netlist: Netlist) -> list[str]:
        return [
            name
            for name, cell in netlist.cells.items()
            if cell["type"] == site.cell_type and cell["attributes"].get("src", "") == site.source
        ]

    before, after = alike(source), alike(target)
    if not site.source or len(before) != len(after):
        return None
    cell = after[before.index(site.cell)]
    wanted = (site.kind, cell, site.port, site.bit, site.change)
    for other in sites(target):
        if (other.kind, other.cell, other.port, other.bit, other.change) == wanted:
            return other
    return None


class ProofAttempts:
    """Tries mutants on proofs.

    Args:
        provers: the programs.
        work: directory for models and logs.
        verdicts: those that are known.
        limit_s: for one proof.
        only_kept: run nothing; raise `NotKept` where that is not enough.
    """

    def __init__(
        self, provers: Provers, work: Path, verdicts: Verdicts, limit_s: float, only_kept: bool = False
    ) -> None:
        self.provers, self.work, self.verdicts, self.limit_s = provers, work, verdicts, limit_s
        self.only_kept = only_kept
        self._proofs: list[ProvenCircuit] | None = None
        self._netlists: dict[str, dict[str, dict[str, Any]]] = {}

    @property
    def proofs(self) -> list[ProvenCircuit]:
        if self._proofs is None:
            self._proofs = proven_circuits()
        return self._proofs

    def noticed_by(self, circuit: Circuit, site: Site) -> str | None:
        """The first proof that does not hold with the fault, with its rule; None if all that match do.

        Raises:
            SynthesisError, ToolError: a program broke down.
        """
        for found, module, there in self._matching(circuit, site):
            if self._result(found, module, there) == "fails" and self._result(found, module, None) == "proven":
                return found.proof.name
        return None

    def lost_by(self, circuit: Circuit, site: Site) -> str | None:
        """The first unbounded proof that is found without the fault and not with it, though nothing refutes it.

        Some faults show after more cycles than any engine looks ahead, such as a lost high bit of a counter. Then
        no invariant holds, and `fineq formal` fails, since it asks for a proof.

        Raises:
            SynthesisError, ToolError: a program broke down.
        """
        for found, module, there in self._matching(circuit, site):
            if found.proof.engine.kind == "bounded":
                continue
            if self._result(found, module, None, _SEARCH * self.limit_s) != "proven":
                continue
            if self._result(found, module, there, _PATIENCE * self.limit_s) == UNKNOWN:
                return found.proof.name
        return None

    def _matching(self, circuit: Circuit, site: Site) -> Iterator[tuple[ProvenCircuit, str, Site]]:
        """Proofs of the block itself; where there is none, those of the smallest blocks that hold it."""
        source = circuit.copy()
        holding = [(found, name) for found in self.proofs for name in found.texts if found.block(name) == circuit.block]
        sizes = [1 if name in found.under_test else len(found.texts) for found, name in holding]
        for (found, module), size in zip(holding, sizes, strict=True):
            if size == min(sizes):
                there = _same_place(site, source, Netlist(self._module(found, module)))
                if there is not None:
                    yield found, module, there

    def _module(self, found: ProvenCircuit, module: str) -> dict[str, Any]:
        """A fresh entry of Yosys' JSON."""
        kept = self._netlists.setdefault(found.proof.name, {})
        if module not in kept:
            kept |= to_json({module: found.texts[module]}, found.manifest)
        return json.loads(json.dumps(kept[module]))

    def _result(self, found: ProvenCircuit, module: str, site: Site | None, limit_s: float | None = None) -> str:
        limit_s = self.limit_s if limit_s is None else limit_s
        entry = self._module(found, module)
        inputs = [found.top, dict(found.texts), module, entry, site, found.proof.engine, self.provers.versions()]

        def find() -> str:
            if self.only_kept:
                raise NotKept
            netlist = Netlist(entry)
            if site is not None:
                plant(netlist, site, "1")
            self.work.mkdir(parents=True, exist_ok=True)
            write_text(self.work / "mutant.json", json.dumps({"modules": {module: netlist.module}}))
            run_yosys(["read_json mutant.json", "write_rtlil mutant.il"], self.work)
            others = [text for name, text in found.texts.items() if name != module]
            text = "\n".join([found.top, *others, (self.work / "mutant.il").read_text(encoding="utf-8")])
            return prove(found.proof, found.rules, text, self.provers, self.work, limit_s).result

        return self.verdicts.proven(f"proof-{cache_key(__name__, inputs=inputs)}", limit_s, find)
