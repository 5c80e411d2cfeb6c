"""Whether a mutant can be told from its circuit at the ports: a sequential miter, proven by ABC.

Both start from the initial values that the RTL gives; all inputs are free, the reset among them. A payload of a stream
counts while it is valid. A fault may show in no state at all, so registers are cut out at first, and what is left is
looked at in any state. Then they stay in; memories and all but the small modules inside are cut out, and where that
says too little they stay in as well, as far as the whole is not too large. A proof holds for the whole either way;
without a proof nothing is said.

Where the ports alone can be told apart, such as by outputs that nobody looks at while the block is idle, the modules
that hold the circuit are tried in the same way: all of them, each with the circuit inside, and where that is not enough
those that hold them. A mutant that on every way upwards shows nowhere from some module on is the circuit in every
machine. There a module that holds the circuit another time is cut out, however small: it has the fault as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_formal.tools import Provers
from fineq_mutants.circuits import Circuit
from fineq_mutants.equivalence.model import Way, holds, model, state_bits
from fineq_mutants.equivalence.storage import in_cycles, latches
from fineq_mutants.equivalence.sweeping import ever_differ
from fineq_mutants.equivalence.window import windowed
from fineq_mutants.operators import Site
from fineq_mutants.verdicts import UNKNOWN, NotKept, Verdicts

_LEVELS = 2
"""How far upwards: a block shows at the ports of a core or of the machine."""

_BESIDE = 3
"""Modules on one wire that are looked at together."""

_SMALL, _LARGER, _MOST = 256, 2048, 2048
"""Bits of registers and memories: of a module that stays in at once, of one that does later, of all of it then."""


_STAGES = 2
"""Stages of registers behind a fault that are looked at by themselves in the end."""

_STAYING = 0, 4
"""Bits of the widest registers that stay in beside the one with the fault, in the first attempts."""


class Miters:
    """Proves mutants equal to their circuits.

    Args:
        circuits: all there are, by name.
        provers: the programs.
        work: directory for models and logs; created.
        verdicts: those that are known.
        limit_s: for the prover.
        only_kept: run nothing; raise `NotKept` where that is not enough.
    """

    def __init__(
        self,
        circuits: Mapping[str, Circuit],
        provers: Provers,
        work: Path,
        verdicts: Verdicts,
        limit_s: float,
        only_kept: bool = False,
    ) -> None:
        self.circuits = in_cycles(circuits)
        self.provers, self.work, self.verdicts, self.limit_s = provers, work, verdicts, limit_s
        self.only_kept = only_kept
        self._bits = {name: state_bits(circuit, self.circuits) for name, circuit in self.circuits.items()}
        self._with_latches = self.circuits | latches()

    def equivalent(self, module: str, site: Site) -> str | None:
        """Where the mutant is proven to be the circuit: its own name, those of all that hold it, or None.

        Raises:
            SynthesisError, ToolError: a program broke down.
        """
        circuit = self.circuits[module]
        if self._where_it_is(circuit, site):
            return module
        beside = self._beside(circuit, site)
        if beside and self._verdict((circuit,), site, beside) == "proven":
            return module
        found = self._at_all((circuit,), site)
        if found is None:
            return module if self._in_window(circuit, site) else None
        return ", ".join(sorted(set(found)))

    def _where_it_is(self, circuit: Circuit, site: Site) -> bool:
        """Whether the circuit without most of its registers is proven: any state is looked at, in no time.

        Without all but the one with the fault this shows wires that are constant or do not decide, and with the small
        ones, which say what counts, much of what is loaded before anybody looks at it.
        """
        return any(
            self._of_model(model((circuit,), site, self._with_latches, (), memories=False, registers=bits)) == "proven"
            for bits in _STAYING
        )

    def _in_window(self, circuit: Circuit, site: Site) -> bool:
        """Whether the circuit without the registers that are further behind the fault is proven."""
        part = windowed(circuit, site.cell, _STAGES)
        if state_bits(part, self.circuits) > _MOST:
            return False
        small = {name for name, bits in self._bits.items() if bits <= _SMALL and name != circuit.module}
        return self._of_model(model((part,), site, self._with_latches, small, memories=True)) == "proven"

    def _beside(self, circuit: Circuit, site: Site) -> tuple[str, ...]:
        """Modules at both ends of a wire between instances: one end may not look at it, or never drive it."""
        cell = circuit.netlist["cells"][site.cell]
        if cell["type"] not in self.circuits:
            return ()
        bit = cell["connections"][site.port][site.bit]
        found = {
            other["type"]
            for other in circuit.netlist["cells"].values()
            if other["type"] in self.circuits and any(bit in bits for bits in other["connections"].values())
        }
        return tuple(sorted(found)) if len(found) <= _BESIDE else ()

    def _at_all(self, way: Way, site: Site) -> list[str] | None:
        """The ends of all ways upwards at which the fault does not show; None if there is a way without one.

        What is not decided at the ports of a large module is not decided around it either, where there is more.
        """
        verdict = self._verdict(way, site)
        if verdict == "proven":
            return [way[-1].module]
        if verdict == UNKNOWN and self._bits[way[-1].module] > _SMALL:
            return None
        holding = [other for other in self.circuits.values() if way[-1].module in other.instances]
        if len(way) > _LEVELS or not holding:
            return None
        found = []
        for other in sorted(holding, key=lambda other: self._bits[other.module]):
            ends = self._at_all((*way, other), site)
            if ends is None:
                return None
            found += ends
        return found

    def _verdict(self, way: Way, site: Site, beside: tuple[str, ...] = ()) -> str:
        """As `ever_differ`. `beside`: modules that stay in whatever their size.

        What is not decided with most of it cut out is not decided with more of it either.
        """
        others = {
            name: self._bits[name]
            for name, circuit in self.circuits.items()
            if not holds(circuit, way[0].module, self.circuits)
        }
        small = {name for name, bits in others.items() if bits <= _SMALL or name in beside}
        verdict = self._of_model(model(way, site, self._with_latches, small, memories=False))
        if verdict == "fails" and self._bits[way[-1].module] <= _MOST:
            larger = {name for name, bits in others.items() if bits <= _LARGER or name in beside}
            verdict = self._of_model(model(way, site, self._with_latches, larger, memories=True))
        return verdict

    def _of_model(self, modules: Mapping[str, object]) -> str:
        def find() -> str:
            if self.only_kept:
                raise NotKept
            self.work.mkdir(parents=True, exist_ok=True)
            write_text(self.work / "model.json", json.dumps({"modules": modules}))
            return ever_differ(self.provers, self.work, self.limit_s)

        inputs = [dict(modules), self.provers.versions()]
        key = cache_key("fineq_mutants.equivalence.sweeping", inputs=inputs)
        return self.verdicts.proven(f"miter-{key}", self.limit_s, find)
