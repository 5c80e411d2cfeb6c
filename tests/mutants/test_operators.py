"""Each kind of fault on a small circuit: asleep it is the circuit, alive it is not; the same ones are chosen again."""

import json
from contextlib import nullcontext

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out
from helpers.mutants.small_circuits import Instance, circuit_of, holding

from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.yosys import run_yosys
from fineq_mutants.circuits import Circuit, to_verilog
from fineq_mutants.equivalence.miters import Miters
from fineq_mutants.matching import mutated
from fineq_mutants.netlist import SELECT_MODULE
from fineq_mutants.operators import KINDS, plant, sites
from fineq_mutants.sampling import sample, shares
from fineq_mutants.verdicts import Verdicts


class Counter(Component):
    """Counts to nine while it is enabled, and says when it is below a limit."""

    enable: In(1)
    limit: In(4)
    value: Out(4)
    below: Out(1)

    def elaborate(self, platform):
        m = Module()
        count = Signal(4, init=3)
        with m.If(self.enable):
            m.d.sync += count.eq(Mux(count == 9, 0, count + 1))
        m.d.comb += [self.value.eq(count), self.below.eq((count < self.limit) & self.enable)]
        return m


@pytest.fixture(scope="module")
def circuit():
    return circuit_of("counter", Counter())


def test_sites_say_where_they_come_from(circuit):
    found = sites(circuit.copy())
    assert {site.kind for site in found} == set(KINDS)
    assert all("test_operators.py:" in site.source for site in found if site.kind == "operator")
    assert len(set(found)) == len(found)


def test_every_kind_shows_at_the_ports(circuit, provers, tmp_path):
    miters = Miters({"counter": circuit}, provers, tmp_path / "work", Verdicts(tmp_path / "kept"), 60)
    for kind in KINDS:
        first = [site for site in sites(circuit.copy()) if site.kind == kind][:4]
        assert any(miters.equivalent("counter", site) is None for site in first), kind


def test_what_nobody_can_see_is_proven_equivalent(circuit, provers, tmp_path):
    """A few do not show, such as a comparison with nine that becomes nine or more. Every verdict is kept."""
    miters = Miters({"counter": circuit}, provers, tmp_path / "work", Verdicts(tmp_path / "kept"), 60)
    same = [site for site in sites(circuit.copy()) if miters.equivalent("counter", site) == "counter"]
    assert any(site.kind == "operator" and site.change == "eq is ge" for site in same)
    assert len(same) < len(sites(circuit.copy())) / 4
    again = Miters({"counter": circuit}, provers, tmp_path / "none", Verdicts(tmp_path / "kept"), 60, only_kept=True)
    assert [site for site in sites(circuit.copy()) if again.equivalent("counter", site) == "counter"] == same


def _around(name: str, inner: str, shown: bool) -> Circuit:
    """A module around an instance of another one, with the counter's ports; its outputs leave it only if `shown`."""
    ports = {"clk": [2], "rst": [3], "enable": [4], "limit": [5, 6, 7, 8], "value": [9, 10, 11, 12], "below": [13]}
    out = ("value", "below")
    outside = {port: ["0"] * len(bits) if port in out and not shown else bits for port, bits in ports.items()}
    return holding(name, outside, out, {"inside": Instance(inner, ports, out)})


@pytest.mark.parametrize("shown", [True, False])
def test_a_fault_that_shows_at_no_module_two_levels_up_is_equivalent(circuit, provers, tmp_path, shown):
    around, outer = _around("around", "counter", True), _around("outer", "around", shown)
    circuits = {each.module: each for each in (circuit, around, outer)}
    miters = Miters(circuits, provers, tmp_path / "work", Verdicts(tmp_path / "kept"), 60)
    found = [site for site in sites(circuit.copy()) if site.port == "SRST_VALUE"]
    assert {miters.equivalent("counter", site) for site in found} == {None if shown else "outer"}


@pytest.mark.parametrize("awake", [False, True])
def test_all_asleep_is_the_circuit(circuit, tmp_path, awake):
    gate = circuit.copy()
    for site in sites(circuit.copy()):
        plant(gate, site, "0")
    assert len(gate.cells) > len(circuit.copy().cells)
    if awake:
        plant(gate, next(site for site in sites(circuit.copy()) if site.kind == "inverted"), "1")
    (tmp_path / "both.json").write_text(json.dumps({"modules": {"gold": circuit.copy().module, "gate": gate.module}}))
    same = ["equiv_make gold gate equal", "hierarchy -top equal", "opt_clean", "equiv_simple", "equiv_induct"]
    with pytest.raises(SynthesisError) if awake else nullcontext():
        run_yosys(["read_json both.json", *same, "equiv_status -assert"], tmp_path)


def test_verilog_holds_all_mutants_behind_one_select(circuit):
    chosen = dict(enumerate(sites(circuit.copy()), start=1))
    text = to_verilog({"counter": mutated(circuit, chosen)})["counter"]
    assert text.count(SELECT_MODULE) == 1
    assert f"16'h{len(chosen):04x}" in text


def test_sample_is_the_same_again_and_fair(circuit):
    chosen = sample([circuit], 18, 1)
    assert chosen == sample([circuit], 18, 1)
    assert chosen != sample([circuit], 18, 2)
    assert {mutant.site.kind for mutant in chosen} == set(KINDS)
    assert [mutant.number for mutant in chosen] == list(range(1, 19))


def test_shares_are_by_the_root_of_the_room():
    assert shares({"a": 100, "b": 10_000, "c": 2}, 60) == {"c": 1, "a": 5, "b": 54}
    assert shares({"a": 3}, 60) == {"a": 3}
