"""A mapped, hierarchical netlist: modules, their instances and nets; counted and checked against the library."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library


@dataclass
class Port:
    """A module port; `bits` are net numbers, least significant first."""

    direction: str
    bits: list[int]


@dataclass
class Instance:
    """A cell or module instance; `pins` maps a pin name to net numbers, least significant first.

    `inserted`: a buffer that was added for the load (`netlist.fanout`), not part of the circuit.
    """

    name: str
    kind: str
    pins: dict[str, list[int]]
    inserted: bool = False


@dataclass
class Module:
    """One module; `net_names` names the nets that have a name in the RTL, `aliases` all such names, with `<bit>`.

    `stands_for_load`: nothing but loads, in the place of a module that was left out (`timing.thin`).
    """

    name: str
    ports: dict[str, Port]
    instances: list[Instance]
    net_names: dict[int, str] = field(default_factory=dict)
    aliases: dict[str, int | str] = field(default_factory=dict)
    stands_for_load: bool = False
    _last_net: int | None = field(default=None, init=False, repr=False, compare=False)

    def new_net(self) -> int:
        """A net number that is not in use yet."""
        if self._last_net is None:
            used = [bit for port in self.ports.values() for bit in port.bits]
            used += [bit for instance in self.instances for bits in instance.pins.values() for bit in bits]
            self._last_net = max((bit for bit in used if isinstance(bit, int)), default=0)
        self._last_net += 1
        return self._last_net


@dataclass
class Netlist:
    """A top module and the modules under it."""

    top: str
    modules: dict[str, Module]

    @cached_property
    def multiplicity(self) -> dict[str, int]:
        """How often each module occurs in the whole design; children come after their parents."""
        counts: Counter[str] = Counter({self.top: 1})
        for name in reversed(self.bottom_up):
            for instance in self.modules[name].instances:
                if instance.kind in self.modules:
                    counts[instance.kind] += counts[name]
        return dict(counts)

    @cached_property
    def bottom_up(self) -> list[str]:
        """Module names, every module after the modules it instantiates."""
        order: list[str] = []
        done: set[str] = set()

        def visit(name: str) -> None:
            if name in done:
                return
            done.add(name)
            for kind in sorted({instance.kind for instance in self.modules[name].instances} & self.modules.keys()):
                visit(kind)
            order.append(name)

        visit(self.top)
        return order

    def cell_counts(self) -> Counter[str]:
        """Number of cells of each kind in the whole design."""
        counts: Counter[str] = Counter()
        for name, times in self.multiplicity.items():
            for instance in self.modules[name].instances:
                if instance.kind not in self.modules:
                    counts[instance.kind] += times
        return counts

    def area(self, library: Library) -> float:
        """Cell area of the whole design in um^2."""
        return sum(library.cell(kind).area * count for kind, count in sorted(self.cell_counts().items()))

    def check_mapped(self, library: Library) -> None:
        """Every cell must be in the library.

        Raises:
            SynthesisError: names the kinds of cells that are not, how many, and a module that holds one.
        """
        unmapped = {kind: count for kind, count in sorted(self.cell_counts().items()) if kind not in library.cells}
        if not unmapped:
            return
        first = next(iter(unmapped))
        where = next(n for n in self.bottom_up if any(i.kind == first for i in self.modules[n].instances))
        text = ", ".join(f"{kind} ({count})" for kind, count in unmapped.items())
        raise SynthesisError(f"the netlist of {self.top} has cells that are not in the library: {text}, as in {where}")
