"""Which runs of the regression hold which circuit: read from the manifests of their designs, and compared as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from fineq_hw.export.tops import array_of
from fineq_mutants.circuits import Circuit, identity, smallest_tops, to_verilog
from fineq_mutants.netlist import SELECT_MODULE, SELECT_VERILOG, Netlist
from fineq_mutants.operators import Site, plant
from fineq_mutants.power_up import leave_out_initial_values
from fineq_mutants.sampling import Mutant
from fineq_sim.runs.bench_run import BenchRun
from fineq_sim.runs.catalog import all_runs
from fineq_sim.runs.runner import VerilogDesign

_LARGE_TEXT = 60_000
"""Characters of Verilog from which Verilator's compiler is paid back by the speed of what it makes."""


@dataclass(frozen=True)
class Holder:
    """A run of the regression, and the circuits in its design.

    Attributes:
        run: as in the catalogue.
        design: what it simulates, without initial values if it starts at random.
        modules: name in the design by name of the circuit.
    """

    run: BenchRun
    design: VerilogDesign
    modules: Mapping[str, str]

    @property
    def simulator(self) -> str:
        """Where the mutants run."""
        size = sum(map(len, self.design.sources.values()))
        wanted = "verilator" if size > _LARGE_TEXT else "icarus"
        return wanted if wanted in self.run.simulators else self.run.simulators[0]

    @property
    def parts(self) -> int:
        """How many modules there are: 1 for a circuit by itself."""
        return len(list(self.design.manifest.below(self.design.top)))

    def with_mutants(self, circuits: Mapping[str, Circuit], mutants: Sequence[Mutant]) -> VerilogDesign:
        """The design with all these faults, asleep."""
        return with_mutants(self.design, self.modules, circuits, mutants, self.run.random_start)

    def entry(self, design: VerilogDesign) -> BenchRun:
        """The run on another design."""
        return replace(self.run, design=partial(_given, design))


def _given(design: VerilogDesign, cache: Path | None = None) -> VerilogDesign:
    return design


def with_mutants(
    design: VerilogDesign,
    modules: Mapping[str, str],
    circuits: Mapping[str, Circuit],
    mutants: Sequence[Mutant],
    random_start: bool = False,
) -> VerilogDesign:
    """A design with faults, asleep; `modules`: name in the design by name of the circuit."""
    by_module: dict[str, dict] = defaultdict(dict)
    for mutant in mutants:
        if mutant.module in modules:
            by_module[mutant.module][mutant.number] = mutant.site
    netlists = {modules[module]: mutated(circuits[module], found) for module, found in by_module.items()}
    if random_start:
        for netlist in netlists.values():
            leave_out_initial_values(netlist)
    texts = {f"{name}.v": text for name, text in to_verilog(netlists).items()}
    extra = {f"{SELECT_MODULE}.v": SELECT_VERILOG} if texts else {}
    return replace(design, sources={**design.sources, **texts, **extra})


def mutated(circuit: Circuit, mutants: Mapping[int, Site]) -> Netlist:
    """A circuit with faults in it, each of which lives while the select has its number; none at 0."""
    netlist = circuit.copy()
    select = netlist.add_select()
    for number, site in mutants.items():
        plant(netlist, site, netlist.is_number(select, number))
    return netlist


def find_holders(circuits: Sequence[Circuit], cache: Path) -> list[Holder]:
    """Runs on configurations of the smallest size, or on none, that hold a circuit; fewest parts first."""
    tops = smallest_tops().values()
    configs = [asdict(config) for top in tops for config in (top, array_of(top))]
    known = {circuit.verilog: circuit.module for circuit in circuits}
    holders = []
    for run in all_runs():
        config = run.parameters.get("config")
        if config is None or config in configs:
            design = run.design(cache=cache)
            modules = dict(held_circuits(design, known))
            if run.random_start:
                design = run.design(cache=cache, initial_values=False)
            if modules:
                holders.append(Holder(run, design, modules))
    return sorted(holders, key=lambda holder: (holder.parts, holder.run.name))


def held_circuits(design: VerilogDesign, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Names of circuits, known by their text, and of the modules of a design that they are."""
    for module in design.manifest.below(design.top):
        circuit = known.get(identity(module, design.sources[f"{module}.v"]))
        if circuit is not None:
            yield circuit, module


def tried_circuits(circuits: Sequence[Circuit], holders: Sequence[Holder]) -> list[Circuit]:
    """Of each block the circuits that have a run of their own; of a block that has none, all that some run holds."""
    own = {circuit for holder in holders for circuit, module in holder.modules.items() if module == holder.design.top}
    held = {circuit for holder in holders for circuit in holder.modules}
    blocks = {circuit.block for circuit in circuits if circuit.module in own}
    return [circuit for circuit in circuits if circuit.module in (own if circuit.block in blocks else held)]
