"""How many tiles and line groups a job has: a divider that needs one subtractor."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.jobs import SIZE_BITS


class TileCounts:
    """Three quotients, rounded up, one after another and bit by bit; part of the module that drives it.

        inner_tiles = inner / columns        line_groups = inner_tiles / line_slices        token_tiles = tokens / rows

    Attributes:
        inner_tiles, line_groups, token_tiles: 16 bits each; they are known in this order, one every 16 cycles.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.divisors = (config.array.columns, config.line_slices, config.array.rows)
        self.inner_tiles = Signal(SIZE_BITS)
        self.line_groups = Signal(SIZE_BITS)
        self.token_tiles = Signal(SIZE_BITS)
        self._divided = Signal(range(len(self.divisors) + 1))  # quotients that are known

    def known(self, quotients: int) -> Value | int:
        """Whether the first so many quotients are known."""
        return self._divided >= quotients if quotients else 1

    def drive(self, m: Module, start: Value, inner: Value, tokens: Value) -> None:
        """Divide.

        Args:
            m: the module.
            start: for one cycle: begin with new numbers, even if the old ones are not through.
            inner, tokens: numbers to divide; `inner` is taken at the start, `tokens` must stay.
        """
        dividing = Signal()
        bit = Signal(range(SIZE_BITS))
        quotient = Signal(SIZE_BITS)  # dividend shifted out on top, quotient in at the bottom
        remainder = Signal(range(max(self.divisors)))
        divisor = Signal(range(max(self.divisors) + 1))
        partial = Signal(range(2 * max(self.divisors)))
        fits = Signal()
        with m.Switch(self._divided):
            for number, value in enumerate(self.divisors):
                with m.Case(number):
                    m.d.comb += divisor.eq(value)
        m.d.comb += [
            partial.eq(Cat(quotient[-1], remainder)),
            fits.eq(partial >= divisor),
        ]
        next_remainder = Mux(fits, partial - divisor, partial)
        next_quotient = Cat(fits, quotient[:-1])
        rounded_up = (next_quotient + (next_remainder != 0))[:SIZE_BITS]
        with m.If(dividing):
            m.d.sync += [remainder.eq(next_remainder), quotient.eq(next_quotient), bit.eq(bit + 1)]
            with m.If(bit == SIZE_BITS - 1):
                m.d.sync += [bit.eq(0), remainder.eq(0), self._divided.eq(self._divided + 1)]
                with m.Switch(self._divided):
                    with m.Case(0):
                        m.d.sync += [self.inner_tiles.eq(rounded_up), quotient.eq(rounded_up)]
                    with m.Case(1):
                        m.d.sync += [self.line_groups.eq(rounded_up), quotient.eq(tokens)]
                    with m.Case(2):
                        m.d.sync += [self.token_tiles.eq(rounded_up), dividing.eq(0)]
        with m.If(start):
            m.d.sync += [dividing.eq(1), self._divided.eq(0), quotient.eq(inner)]
            m.d.sync += [bit.eq(0), remainder.eq(0)]  # a job without parameters does not wait for the last quotient
