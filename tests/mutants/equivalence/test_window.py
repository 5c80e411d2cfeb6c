"""A table that is looked up one entry too far: no difference where it begins again with zero, in two stages."""

import json

import pytest
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from helpers.mutants.small_circuits import circuit_of

from fineq_mutants.equivalence.model import model, state_bits
from fineq_mutants.equivalence.sweeping import ever_differ
from fineq_mutants.equivalence.window import windowed
from fineq_mutants.operators import sites
from fineq_mutants.verdicts import UNKNOWN

END = 8
"""Arguments from here on have no entry."""


class Lookup(Component):
    """factor * argument, then table[...] below END and 0 above; the result is summed up."""

    argument: In(4)
    factor: In(12)
    enable: In(1)
    total: Out(12)

    def __init__(self, first: int) -> None:
        self.first = first
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.table = table = Memory(shape=5, depth=END, init=[self.first, *range(3, 3 + END - 1)])
        read = table.read_port()
        scaled, product = Signal(4), Signal(12)
        index, below, looked_up, looked_up_below = Signal(3), Signal(), Signal(5), Signal()
        total = Signal(12)
        m.d.comb += [read.addr.eq(index), read.en.eq(self.enable), looked_up.eq(read.data), self.total.eq(total)]
        with m.If(self.enable):
            m.d.sync += [
                product.eq(self.argument * self.factor),
                scaled.eq(product >> 4),
                index.eq(scaled),
                below.eq(scaled < END),
                looked_up_below.eq(below),
                total.eq(total * self.factor + Mux(looked_up_below, looked_up, 0)),
            ]
        return m


def _one_further(provers, place, first, stages):
    """What is found out about an end that is one later, and how many bits of registers the model has."""
    circuit = circuit_of("lookup", Lookup(first))
    (site,) = (site for site in sites(circuit.copy()) if site.change == f"{END} is {END + 1}")
    part = circuit if stages is None else windowed(circuit, site.cell, stages)
    made = model((part,), site, {"lookup": circuit}, (), memories=True)
    (place / "model.json").write_text(json.dumps({"modules": made}))
    return ever_differ(provers, place, 30), state_bits(part, {})


@pytest.mark.parametrize("first, expected", [(0, "proven"), (1, "fails")])
def test_an_entry_too_far_counts_where_the_table_does_not_begin_with_zero(provers, tmp_path, first, expected):
    verdict, bits = _one_further(provers, tmp_path, first, stages=2)
    assert verdict == expected
    assert bits < 3 + 1 + 5 + 1 + 12, "the sum is outside"


def test_one_stage_is_too_small(provers, tmp_path):
    assert _one_further(provers, tmp_path, 0, stages=1)[0] in ("fails", UNKNOWN)
