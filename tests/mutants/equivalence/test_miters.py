"""Registers that a start loads before anybody looks: equivalent where the start says so, and nowhere else."""

import json

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from helpers.mutants.small_circuits import Instance, circuit_of, holding

from fineq_mutants.circuits import Circuit
from fineq_mutants.equivalence.miters import Miters
from fineq_mutants.equivalence.model import holds, model, state_bits
from fineq_mutants.equivalence.sweeping import ever_differ
from fineq_mutants.operators import sites
from fineq_mutants.verdicts import Verdicts


class Loaded(Component):
    """A count that a start loads; it leaves while somebody looks, or always."""

    start: In(1)
    data: In(16)
    step: In(1)
    look: In(1)
    count: Out(16)

    def __init__(self, own: bool, shown: bool = False) -> None:
        self.own, self.shown = own, shown
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        count, armed = Signal(16), Signal()
        with m.If(self.start):
            m.d.sync += [count.eq(self.data), armed.eq(1)]
        with m.Elif(self.step):
            m.d.sync += count.eq(count + 3)
        m.d.comb += self.count.eq(Mux(self.shown | (armed if self.own else self.look), count, 0))
        return m


class Keeper(Component):
    """Looks from the start on, or always."""

    start: In(1)
    look: Out(1)

    def __init__(self, always: bool) -> None:
        self.always = always
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        started = Signal(init=self.always)
        with m.If(self.start):
            m.d.sync += started.eq(1)
        m.d.comb += self.look.eq(started)
        return m


class Store(Component):
    """A memory of four words."""

    address: In(2)
    word: In(8)
    write: In(1)
    read: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=8, depth=4, init=[])
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [write.addr.eq(self.address), write.data.eq(self.word), write.en.eq(self.write)]
        m.d.comb += [read.addr.eq(self.address), read.en.eq(1), self.read.eq(read.data)]
        return m


class Offered(Component):
    """A wide word that is loaded and offered while it counts, a word with a bit that is always 0, and a count."""

    load: In(1)
    data: In(16)
    word: Out(16)
    flags: Out(3)
    count: Out(16)

    def elaborate(self, platform):
        m = Module()
        held, valid, count = Signal(16), Signal(), Signal(16)
        m.d.sync += [valid.eq(self.load), count.eq(count + self.load)]
        with m.If(self.load):
            m.d.sync += held.eq(self.data)
        padded, moved = Signal(3), Signal(3)
        m.d.comb += [padded.eq(valid), moved.eq(self.load << 1)]
        m.d.comb += [self.word.eq(Mux(valid, held, 0)), self.flags.eq(padded | moved), self.count.eq(count)]
        return m


def _block(name):
    """`loaded` with `keeper` beside it."""
    ports = {"clk": [2], "rst": [3], "start": [4], "step": [5], "data": [*range(10, 26)], "count": [*range(30, 46)]}
    look = {"look": [50]}
    instances = {
        "keeper": Instance("keeper", {port: ports[port] for port in ("clk", "rst", "start")} | look, {"look"}),
        "loaded": Instance("loaded", ports | look, {"count"}),
    }
    return holding(name, ports, {"count"}, instances)


def _equivalent(circuits, provers, place):
    """Where faults in the resets of words of the first circuit do not show."""
    known = {circuit.module: circuit for circuit in circuits}
    miters = Miters(known, provers, place / "work", Verdicts(place / "kept"), 60)
    first = circuits[0]
    found = [site for site in sites(first.copy()) if site.kind in ("reset-lost", "reset-value")]
    words = [site for site in found if len(first.netlist["cells"][site.cell]["connections"]["Q"]) > 1]
    assert words
    return {miters.equivalent(first.module, site) for site in words[:4]}


@pytest.mark.parametrize("shown", [False, True])
def test_a_reset_that_a_start_makes_up_for(provers, tmp_path, shown):
    circuit = circuit_of("loaded", Loaded(own=True, shown=shown))
    assert _equivalent([circuit], provers, tmp_path) == {None if shown else "loaded"}


@pytest.mark.parametrize("always", [False, True])
def test_a_small_module_beside_it_says_when_somebody_looks(provers, tmp_path, always):
    circuits = [circuit_of("loaded", Loaded(own=False)), circuit_of("keeper", Keeper(always)), _block("block")]
    assert _equivalent(circuits, provers, tmp_path) == {None if always else "block"}


def test_without_most_registers_nothing_is_proven_that_is_not_so(provers, tmp_path):
    """Faults that show in no state, words that are loaded before they count; never what the whole can tell apart."""
    circuit = circuit_of("offered", Offered())
    known = {"offered": circuit}
    verdicts = {}
    for site in sites(circuit.copy()):
        if site.kind not in ("stuck-0", "stuck-1", "reset-lost", "reset-value", "enable") or site.bit > 2:
            continue
        for bits in (None, 4, 0):
            made = model((circuit,), site, known, (), memories=False, registers=bits)
            (tmp_path / "model.json").write_text(json.dumps({"modules": made}))
            verdicts.setdefault(bits, {})[site] = ever_differ(provers, tmp_path, 60)
    proven = {bits: {site for site in found if found[site] == "proven"} for bits, found in verdicts.items()}
    assert proven[0] < proven[4] <= proven[None] < {*verdicts[None]}
    assert {site.kind for site in proven[0]} == {"stuck-0"}, "of a bit that is 0"
    assert {site.kind for site in proven[4] - proven[0]} >= {"reset-lost", "reset-value"}


def test_what_a_memory_is_given_shows(provers, tmp_path):
    circuit = circuit_of("store", Store())
    miters = Miters({"store": circuit}, provers, tmp_path / "work", Verdicts(tmp_path / "kept"), 60)
    found = [site for site in sites(circuit.copy()) if site.cell_type == "$memwr_v2"]
    assert {site.port for site in found} >= {"ADDR", "DATA", "EN"}
    assert {miters.equivalent("store", site) for site in found[::5]} == {None}


def test_sizes_and_what_holds_what():
    loaded, keeper, block, store = (
        circuit_of("loaded", Loaded(own=True)),
        circuit_of("keeper", Keeper(False)),
        _block("block"),
        circuit_of("store", Store()),
    )
    circuits = {each.module: each for each in (loaded, keeper, block)}
    assert state_bits(loaded, circuits) == 17
    assert state_bits(block, circuits) == 18
    assert state_bits(store, circuits) >= 32
    assert holds(block, "keeper", circuits) and holds(block, "block", circuits)
    assert not holds(keeper, "loaded", circuits)


def test_the_name_of_a_verdict_says_nothing_of_places(provers, tmp_path):
    circuit = circuit_of("loaded", Loaded(own=True))
    site = next(site for site in sites(circuit.copy()) if site.kind == "reset-lost")
    names = []
    for place in ("here", "there"):
        netlist = circuit.copy().module
        for entry in (*netlist["netnames"].values(), *netlist["cells"].values()):
            entry["attributes"]["src"] = f"/{place}/file.py:1"
        verdicts = Verdicts(tmp_path / place)
        moved = Circuit("loaded", "loaded", "", netlist, {})
        Miters({"loaded": moved}, provers, tmp_path / "work", verdicts, 60).equivalent("loaded", site)
        names.append({*verdicts.used})
    assert names[0] == names[1] != set()
