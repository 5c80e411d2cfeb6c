"""Proofs: what holds is proven, what does not is refuted with its rule and its cycle, nothing is proven in vain."""

import json

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Out

from fineq_formal.conversion import proof_rtlil, rule_cell
from fineq_formal.engines import prove
from fineq_formal.proof import PDR, Engine, Proof
from fineq_formal.runner import run_proofs
from fineq_formal.setup import Setup, implies


class Counter(Component):
    """Counts to a limit and stays there."""

    count: In(1)
    value: Out(3)
    other: Out(3)

    def elaborate(self, platform):
        m = Module()
        unreset = Signal(3, reset_less=True)
        m.d.comb += self.other.eq(unreset)
        with m.If(self.count & (self.value != 5)):
            m.d.sync += [self.value.eq(self.value + 1), unreset.eq(self.value)]
        return m


def below(limit):
    def build(setup: Setup) -> None:
        dut = setup.add("dut", Counter())
        setup.check(dut.value != 7, "never seven")
        setup.check(dut.value < limit, f"below {limit}")

    return build


ENGINES = (PDR, Engine("bounded", 12), Engine("induction", 8))


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.kind)
def test_what_holds_is_proven(engine, provers, tmp_path):
    proof = Proof("counter", "", below(6), engine)
    text, rules = proof_rtlil(proof)
    assert rules == ["never seven", "below 6"]
    assert prove(proof, rules, text, provers, tmp_path, 60).result == "proven"


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.kind)
def test_what_does_not_hold_is_refuted(engine, provers, tmp_path):
    proof = Proof("counter", "", below(5), engine)
    text, rules = proof_rtlil(proof)
    verdict = prove(proof, rules, text, provers, tmp_path, 60)
    assert (verdict.result, verdict.rule, verdict.cycle) == ("fails", "below 5", 5)
    assert (tmp_path / "trace.vcd").stat().st_size


def test_bound_is_exact(provers, tmp_path):
    """Cycle 5 is the sixth."""
    for depth, result in ((5, "proven"), (6, "fails")):
        proof = Proof("counter", "", below(5), Engine("bounded", depth))
        text, rules = proof_rtlil(proof)
        assert prove(proof, rules, text, provers, tmp_path, 60).result == result


def test_registers_without_reset_begin_with_anything(provers, tmp_path):
    def build(setup: Setup) -> None:
        dut = setup.add("dut", Counter())
        setup.check(dut.other != 6, "never written")

    text, rules = proof_rtlil(Proof("counter", "", build))
    assert prove(Proof("counter", "", build), rules, text, provers, tmp_path, 60).result == "fails"


def test_free_fixed_and_assumed_inputs(provers, tmp_path):
    def build(setup: Setup) -> None:
        wish, constant = setup.free("wish", 4), setup.fixed("constant", 4)
        setup.assume(wish >= 3)
        setup.check(wish >= 3, "as assumed")
        second = Signal()
        setup.m.d.sync += second.eq(1)
        setup.check(implies(second, setup.past(constant, "constant") == constant), "constant")

    proof = Proof("inputs", "", build)
    text, rules = proof_rtlil(proof)
    assert prove(proof, rules, text, provers, tmp_path, 60).proven

    def wrong(setup: Setup) -> None:
        setup.check(setup.fixed("constant", 4) != 9, "some constant")

    proof = Proof("inputs", "", wrong)
    text, rules = proof_rtlil(proof)
    verdict = prove(proof, rules, text, provers, tmp_path, 60)
    assert (verdict.result, verdict.rule) == ("fails", "some constant")


def test_unknown_inputs_are_named():
    with pytest.raises(ValueError, match="Counter has no input enable: it has count"):
        Setup().add("dut", Counter(), driven=("enable",))


def test_engines_say_what_they_need():
    with pytest.raises(ValueError, match="choose pdr, induction or bounded"):
        Engine("magic")
    with pytest.raises(ValueError, match="pdr has none, the others need one"):
        Engine("bounded")


def test_rules_as_names():
    assert rule_cell("AR: no burst crosses a 4 kB boundary") == "AR_no_burst_crosses_a_4_kB_boundary"


def test_what_is_proven_is_kept(provers, tmp_path):
    proofs = [Proof("good", "", below(6)), Proof("bad", "", below(5))]
    for kept in (False, True):
        run = run_proofs(proofs, provers, tmp_path, cache=tmp_path / "cache", jobs=2, limit_s=60)
        verdicts = {proof.name: verdict for proof, verdict in run}
        assert verdicts["good"].proven and verdicts["good"].kept == kept
        assert verdicts["bad"].result == "fails" and not verdicts["bad"].kept
    (file,) = (tmp_path / "cache").iterdir()
    assert json.loads(file.read_text())["result"] == "proven"
