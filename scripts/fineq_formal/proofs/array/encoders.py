"""Temporal encoders: what the pulses of a weight add up to is the weight."""

from __future__ import annotations

from amaranth.hdl import Const, Mux, Signal, Value, signed

from fineq.format import CLUSTER_WEIGHTS, MAX_MAGNITUDE
from fineq.format.temporal import ENCODINGS, MAX_CYCLES, vector_cycles
from fineq_formal.proof import Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.array.encodings.base import Group
from fineq_hw.array.encodings.registry import encoding_of
from fineq_hw.array.temporal_encoder import DIGIT_NAMES
from fineq_hw.config import ROW_SIGN_ENCODINGS, ArrayConfig


def _steps(setup: Setup, group: Group, magnitudes: list[Value], single_step: Value | None) -> Value:
    """Steps that the weights of a group take, by the software's table."""
    if group.is_cluster:
        fits = Const(0)
        for magnitude in magnitudes:
            fits = fits | (magnitude == 0)
        small = Const(1)
        for magnitude in magnitudes:
            small = small & (magnitude <= 1)
        setup.assume(fits | small)  # what the format can store
        twins = sum((magnitude == MAX_MAGNITUDE) for magnitude in magnitudes)
        return Mux(twins > 1, MAX_CYCLES["cluster"], 1)
    (magnitude,) = magnitudes
    if single_step is not None:
        setup.assume(implies(single_step, magnitude <= 1))  # no weight of the vector has a high bit
        return Mux(single_step, 1, MAX_CYCLES[group.encoding.name])
    steps = Const(1, 2)
    for value in range(MAX_MAGNITUDE + 1):
        steps = Mux(magnitude == value, vector_cycles(value, group.encoding.name), steps)
    return steps


def _pulses(setup: Setup, config: ArrayConfig) -> None:
    """Of the first group of columns. Other weights of the vector may take longer: then its pulses have run out."""
    m = setup.m
    group = encoding_of(config).groups(config)[0]
    dut = setup.add("dut", group.make_encoder())
    # An encoding that must know whether a vector has a second step sends the high bits first: the sum so far doubles.
    doubles = "single_step" in dut.signature.members
    weights = [dut.weights[column] for column in range(group.size)]
    needed = _steps(setup, group, [weight.magnitude for weight in weights], dut.single_step if doubles else None)
    loads = dut.load & dut.update
    loaded, steps, wanted = Signal(), Signal(3), Signal(3)
    with m.If(loads):
        m.d.sync += [loaded.eq(1), steps.eq(1), wanted.eq(needed)]
    with m.Elif(dut.update & (steps != 7)):
        m.d.sync += steps.eq(steps + 1)
    for column in range(group.size):
        digits = dut.following[column]
        size = sum(digits[name] << power for power, name in enumerate(DIGIT_NAMES[: len(group.encoding.digits)]))
        step, total, weight = Signal(signed(4)), Signal(signed(8)), Signal(signed(4))
        m.d.comb += step.eq(Mux(digits.negative, -size, size))
        with m.If(loads):
            value = weights[column]
            m.d.sync += [weight.eq(Mux(value.sign, -value.magnitude, value.magnitude)), total.eq(step)]
        with m.Elif(dut.update & (steps != 7)):
            m.d.sync += total.eq(Mux((steps < wanted) & doubles, total << 1, total) + step)
        settled = loaded & (steps >= wanted) & (steps != 7)
        setup.check(implies(settled, total == weight), f"pulses of column {column} add up to the weight")


def _configurations() -> list[ArrayConfig]:
    found = []
    for encoding in ENCODINGS:
        for handling in ("row", "column") if encoding in ROW_SIGN_ENCODINGS else ("column",):
            found.append(ArrayConfig(1, CLUSTER_WEIGHTS, encoding=encoding, sign_handling=handling))
    return found


PROOFS = tuple(
    Proof(
        f"array/temporal_encoder/weight-{config.encoding}-{config.sign_handling}",
        f"Pulses of encoding {config.encoding}, signs by {config.sign_handling}, add up to every weight, then run out",
        lambda setup, config=config: _pulses(setup, config),  # type: ignore[misc]
        short=config.encoding == "cluster",
    )
    for config in _configurations()
)
