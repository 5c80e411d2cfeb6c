"""Cores: every result is the product of its vector and the stored activations, exactly."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, signed

from fineq.format.temporal import ENCODINGS
from fineq_formal.checkers.streams import check_streams
from fineq_formal.proof import Engine, Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.array.core import TemporalCore
from fineq_hw.config import ROW_SIGN_ENCODINGS, ArrayConfig

_DEPTHS = {1: 9, 3: 5}
"""Cycles by columns: a preload and several vectors with stalls; with three columns one vector."""


def _products(setup: Setup, config: ArrayConfig) -> None:
    """Vectors that are in the core, at most two, with what their results must be."""
    m = setup.m
    dut = setup.add("dut", TemporalCore(config))
    check_streams(setup, dut)
    columns, bits = config.columns, config.accumulator_bits + 2
    weights, activations = dut.weights.payload, dut.activations.payload
    if config.encoding == "cluster":
        magnitudes = [weights.values[column].magnitude for column in range(columns)]
        zero, small = magnitudes[0] == 0, magnitudes[0] <= 1
        for magnitude in magnitudes[1:]:
            zero, small = zero | (magnitude == 0), small & (magnitude <= 1)
        setup.assume(zero | small)  # what the format can store
    # Partial sums of so many inputs that the guarantee still holds with those of this vector.
    largest = (config.max_inner_dimension - columns) * 3 * config.max_activation_magnitude
    partial = dut.partials.payload[0]
    setup.assume((partial <= largest) & (partial >= -largest))

    stored = [Signal(signed(config.activation_bits), name=f"stored_{column}") for column in range(columns)]
    with m.If(dut.activations.valid & dut.activations.ready):
        m.d.sync += [stored[column].eq(activations.values[column]) for column in range(columns)]
    product = Signal(signed(bits))
    terms = []
    for column in range(columns):
        weight = weights.values[column]
        value = Signal(signed(config.activation_bits + 3), name=f"term_{column}")
        single = Mux(weight.magnitude[0], stored[column], 0)
        double = Mux(weight.magnitude[1], stored[column] << 1, 0)
        m.d.comb += value.eq(Mux(weight.sign, -(single + double), single + double))
        terms.append(value)
    m.d.comb += product.eq(sum(terms[1:], terms[0]))

    accepted = dut.weights.valid & dut.weights.ready
    resulted = dut.results.valid & dut.results.ready
    started = dut.partials.valid & dut.partials.ready
    held = Signal(2)
    expected = [Signal(signed(bits), name=f"expected_{i}") for i in range(2)]
    lasts = [Signal(name=f"last_{i}") for i in range(2)]
    owes = Signal()  # the vector that came last still has to take its partial sums
    after = [Signal(signed(bits), name=f"after_{i}") for i in range(2)]
    m.d.comb += [after[0].eq(expected[0]), after[1].eq(expected[1])]
    with m.If(started):
        with m.If(held == 1):
            m.d.comb += after[0].eq(expected[0] + partial)
        with m.Else():
            m.d.comb += after[1].eq(expected[1] + partial)
        m.d.sync += owes.eq(0)
    with m.If(accepted):
        m.d.sync += owes.eq(weights.accumulate)
    place = held - resulted
    m.d.sync += held.eq(held + accepted - resulted)
    m.d.sync += [expected[0].eq(Mux(resulted, after[1], after[0])), expected[1].eq(after[1])]
    m.d.sync += lasts[0].eq(Mux(resulted, lasts[1], lasts[0]))
    with m.If(accepted):
        with m.If(place == 0):
            m.d.sync += [expected[0].eq(product), lasts[0].eq(weights.last)]
        with m.Else():
            m.d.sync += [expected[1].eq(product), lasts[1].eq(weights.last)]
    setup.check(held <= 2, "at most two vectors in the core")
    setup.check(implies(started, owes), "partial sums are taken once, by vectors that accumulate")
    setup.check(implies(dut.results.valid, held != 0), "no result without a vector")
    result = dut.results.payload
    setup.check(implies(dut.results.valid, result.sums[0] == expected[0]), "a result is the exact sum of products")
    setup.check(implies(dut.results.valid, result.last == lasts[0]), "last goes with its vector")
    setup.check(implies(accepted & owes, started), "a vector has its partial sums before the next one comes")


def _configurations() -> list[ArrayConfig]:
    """One column, and the three of a cluster."""
    found = []
    for encoding in ENCODINGS:
        columns = 3 if encoding == "cluster" else 1
        bits = 7 if columns == 3 else 6
        for handling in ("row", "column") if encoding in ROW_SIGN_ENCODINGS else ("column",):
            found.append(ArrayConfig(1, columns, 2, bits, encoding, handling))
    return found


PROOFS = tuple(
    Proof(
        f"array/core/exact-{config.encoding}-{config.sign_handling}",
        f"A core of 1 x {config.columns} with 2-bit activations gives exact sums, partial sums included, and no sum "
        f"within `max_inner_dimension` overflows: encoding {config.encoding}, signs by {config.sign_handling}",
        lambda setup, config=config: _products(setup, config),  # type: ignore[misc]
        Engine("bounded", _DEPTHS[config.columns]),
    )
    for config in _configurations()
)
