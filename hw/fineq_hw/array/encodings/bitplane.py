"""One bit of the magnitude a step, the high one first."""

from __future__ import annotations

from amaranth.hdl import Mux, Value, ValueLike

from fineq_hw.array.encodings.base import Group, Slot
from fineq_hw.array.encodings.one_digit import OneDigit, OneDigitEncoder


class Bitplane(OneDigit):
    """Lines and elements of `unary`; the sum so far counts twice in a second step.

    A vector that has a high bit anywhere takes two steps, and its weights without one wait for the second: the encoders
    must know whether there is one.
    """

    name = "bitplane"
    vector_ports = ("single_step",)

    def make_encoder(self, group: Group) -> BitplaneEncoder:
        return BitplaneEncoder(group)

    def start_slots(self, accumulator_bits: int) -> tuple[Slot, ...]:
        """The old sum, doubled by wiring, and the partial sum, which comes in the same step."""
        return Slot(accumulator_bits - 1, 1), Slot(accumulator_bits)

    def start_operands(self, old: Value, partial: Value) -> list[Value]:
        return [~(old[:-1]), ~partial]

    def partial_step(self, first: Value, last: Value) -> Value:
        return last  # what comes earlier is doubled


class BitplaneEncoder(OneDigitEncoder):
    """What is sent depends on the whole vector: if it has no high bit (`single_step`), low bits go at once."""

    def code(self, magnitude: int) -> ValueLike:
        low, high = magnitude & 1, magnitude >> 1
        return Mux(self.single_step, low, high | low << 1)
