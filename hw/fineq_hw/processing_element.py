"""Processing element: a stationary activation and a selector in place of a multiplier (paper Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.activation_storage import storage_suffix, store
from fineq_hw.config import ArrayConfig


class ProcessingElement(wiring.Component):
    """Keeps one activation x and selects what a pulse adds to the row.

    The output is the *complement* of the selected value: inverting gates are smaller, and full adders are
    self-dual (inverted inputs give inverted outputs), so the adder tree takes it as it is (docs/hardware.md).

    * `row`: ~(x if `pulse` else 0), one NAND per bit; the accumulator applies the sign.
    * `column`: ~(x + 2^(b-1) if `positive` else 2^(b-1) - 1 - x if `negative` else 0) for b bits: the
      activation with its sign bit inverted, or all bits of that inverted; one AND-OR-invert gate per bit.

    Ports:
        activation, load: the activation to keep, taken at the clock edge when `load` is high; with storage
            `latch`, `load` is the row's gated clock.
        pulse, or positive and negative: select lines; `positive` and `negative` are never both high.
        product_n: complement of the selected value, `activation_bits` wide.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        lines = ("pulse",) if config.sign_handling == "row" else ("positive", "negative")
        super().__init__(
            {
                "activation": In(signed(config.activation_bits)),
                "load": In(1),
                **{name: In(1) for name in lines},
                "product_n": Out(config.activation_bits),
            }
        )

    @staticmethod
    def module_name(config: ArrayConfig) -> str:
        return f"fineq_processing_element_{config.activation_bits}_{config.sign_handling}{storage_suffix(config)}"

    def elaborate(self, platform) -> Module:
        m = Module()
        bits = self.config.activation_bits
        value = store(m, self.config, self.activation, self.load)
        if self.config.sign_handling == "row":
            m.d.comb += self.product_n.eq(~(value & self.pulse.replicate(bits)))
        else:
            # The sign bit is stored as it comes; exchanging its two lines inverts it for nothing.
            as_is = Cat(self.positive.replicate(bits - 1), self.negative)
            inverted = Cat(self.negative.replicate(bits - 1), self.positive)
            m.d.comb += self.product_n.eq(~((value & as_is) | (~value & inverted)))
        return m
