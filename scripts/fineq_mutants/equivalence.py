"""Whether a mutant can be told from its circuit at the ports: a sequential miter, proven by ABC.

Both start from the initial values that the RTL gives; all inputs are free, the reset among them. A payload of a stream
counts while it is valid. Modules inside are cut out: what they give is free and the same on both sides, what goes into
them must agree. If it always does, they give the same, so a proof holds for the whole; without a proof nothing is said.

Where the ports alone can be told apart, such as by outputs that nobody looks at while the block is idle, the modules
that hold the circuit are tried in the same way: all of them, each with the circuit inside, and where that is not enough
those that hold them. A mutant that on every way upwards shows nowhere from some module on is the circuit in every
machine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_asic.mapping.yosys import run_yosys
from fineq_formal.engines import never_high
from fineq_formal.tools import Provers
from fineq_mutants.circuits import Circuit
from fineq_mutants.netlist import Bit, Netlist, constant
from fineq_mutants.operators import Site, plant
from fineq_mutants.verdicts import UNKNOWN, NotKept, kept_verdict

CODE_PACKAGES = ("pyosys",)
"""What the programs that this starts import (`fineq.common.cache_keys`)."""

_MITER = (
    "read_json miter.json",
    "miter -equiv -flatten gold gate miter",
    "hierarchy -check -top miter",
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
    "write_aiger -zinit proof.aig",
)


Way = tuple[Circuit, ...]
"""A circuit, one that holds it, one that holds that, and so on."""

_LEVELS = 2
"""How far upwards: a block shows at the ports of a core or of the machine."""

_BESIDE = 3
"""Modules on one wire that are looked at together."""


class Miters:
    """Proves mutants equal to their circuits.

    Args:
        circuits: all there are, by name.
        provers: the programs.
        work: directory for models and logs; created.
        cache: directory of kept verdicts.
        limit_s: for the prover.
        only_kept: run nothing; raise `NotKept` where that is not enough.
    """

    def __init__(
        self,
        circuits: Mapping[str, Circuit],
        provers: Provers,
        work: Path,
        cache: Path,
        limit_s: float,
        only_kept: bool = False,
    ) -> None:
        self.circuits, self.provers, self.work, self.cache, self.limit_s = circuits, provers, work, cache, limit_s
        self.only_kept = only_kept

    def equivalent(self, module: str, site: Site) -> str | None:
        """Where the mutant is proven to be the circuit: its own name, those of all that hold it, or None.

        Raises:
            SynthesisError, ToolError: a program broke down.
        """
        circuit = self.circuits[module]
        beside = self._beside(circuit, site)
        if beside and self._verdict((circuit,), site, beside) == "proven":
            return module
        found = self._at_all((circuit,), site)
        return None if found is None else ", ".join(sorted(set(found)))

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

    def _at_all(self, path: Way, site: Site) -> list[str] | None:
        """The ends of all ways upwards at which the fault does not show; None if there is a way without one.

        What was not decided at the ports of a module is not decided around it either, where there is more.
        """
        verdict = self._verdict(path, site)
        if verdict == "proven":
            return [path[-1].module]
        holding = [other for other in self.circuits.values() if path[-1].module in other.instances]
        if verdict == UNKNOWN or len(path) > _LEVELS or not holding:
            return None
        found = []
        for other in holding:
            ends = self._at_all((*path, other), site)
            if ends is None:
                return None
            found += ends
        return found

    def _verdict(self, path: Way, site: Site, beside: tuple[str, ...] = ()) -> str:
        """As `never_high`. `beside`: modules whose instances stay in the top."""
        held = [dict(self.circuits[name].netlist) for name in beside]
        inputs = [[dict(circuit.netlist) for circuit in path], held, site, self.provers.versions()]

        def find() -> str:
            if self.only_kept:
                raise NotKept
            modules = self._side("gold", path, None, beside) | self._side("gate", path, site, beside)
            self.work.mkdir(parents=True, exist_ok=True)
            write_text(self.work / "miter.json", json.dumps({"modules": modules}))
            run_yosys(_MITER, self.work)
            return never_high(self.provers, self.work, self.limit_s)

        return kept_verdict(self.cache / f"miter-{cache_key(__name__, inputs=inputs)}.json", self.limit_s, find)

    def _side(self, side: str, path: Way, site: Site | None, beside: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
        """Modules of one side, as in Yosys' JSON: the last of the path is `side`, and has the one before in it."""
        streams = {name: other.streams for name, other in self.circuits.items()}
        modules: dict[str, dict[str, Any]] = {}
        part = ""
        for level, circuit in enumerate(path):
            netlist, top = circuit.copy(), level == len(path) - 1
            parts = {path[level - 1].module: part} if level else {}
            if site is not None and not level:
                plant(netlist, site, "1")
            for number, module in enumerate(beside if top else ()):
                parts[module] = f"{side}_beside_{number}"
                modules[parts[module]] = cut(self.circuits[module].copy(), {}, streams)
            for module, held in parts.items():
                _hold(netlist, module, held, modules[held])
            part = side if top else f"{side}_{level}"
            modules[part] = cut(netlist, circuit.streams if top else {}, streams, parts.values())
        return modules


def _hold(netlist: Netlist, module: str, part: str, held: dict[str, Any]) -> None:
    """Let the instances of a module be those of another one, which has more ports: what is cut out of it."""
    for name, cell in netlist.cells.items():
        if cell["type"] == module:
            cell["type"] = part
            for port, entry in held["ports"].items():
                if port not in cell["connections"]:
                    bits, direction = netlist.fresh(len(entry["bits"])), entry["direction"]
                    cell["connections"][port], cell["port_directions"][port] = bits, direction
                    netlist.module["ports"][f"cut_{name}_{port}"] = {"direction": direction, "bits": bits}


def cut(
    netlist: Netlist, own: Mapping[str, str], streams: Mapping[str, Mapping[str, str]], kept: Collection[str] = ()
) -> dict[str, Any]:
    """A module whose instances have become ports.

    Args:
        netlist: the module; changed.
        own: its streams, as `Circuit.streams`: payloads that it gives are zero while they do not count.
        streams: of the modules of its instances, by their names.
        kept: modules whose instances stay.

    Returns:
        An entry of Yosys' JSON.
    """
    ports = netlist.module["ports"]
    for payload, valid in own.items():
        if ports[payload]["direction"] == "output" and ports[payload]["bits"]:
            netlist.replace_port(payload, _while_valid(netlist, ports[payload]["bits"], ports[valid]["bits"]))
    instances = [
        name for name, cell in netlist.cells.items() if not cell["type"].startswith("$") and cell["type"] not in kept
    ]
    for name in sorted(instances):
        cell = netlist.cells.pop(name)
        connections = cell["connections"]
        for payload, valid in streams.get(cell["type"], {}).items():
            if cell["port_directions"][payload] == "input" and connections[payload]:
                connections[payload] = _while_valid(netlist, connections[payload], connections[valid])
        for port, bits in sorted(connections.items()):
            direction = cell["port_directions"][port]
            other = {"input": "output", "output": "input"}[direction]
            if bits:
                ports[f"cut_{name}_{port}"] = {"direction": other, "bits": bits}
    return netlist.module


def _while_valid(netlist: Netlist, payload: Sequence[Bit], valid: Sequence[Bit]) -> list[Bit]:
    return netlist.mux(constant(0, len(payload)), payload, valid[0])
