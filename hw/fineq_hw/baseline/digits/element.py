"""The element of the hand-built MAC array: a stationary activation and what selects its multiples."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.baseline.digits.recoding import column_slots, digits_of, lines_layout
from fineq_hw.cells.activation_storage import storage_suffix, store
from fineq_hw.cells.select_cells import apply_sign, select_value_n
from fineq_hw.config import MacConfig
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


class DigitElement(VerilogComponent):
    """Keeps the activation x and selects what each digit of the weight adds.

    With b bits, u = x + 2^(b-1) and ~u = 2^b - 1 - u, a digit adds u or ~u once, twice, both, or nothing; the outputs
    are the complements (`fineq_hw.array.processing_element` says why).

    Ports:
        activation, load: as `ProcessingElement`.
        lines: `lines_layout`.
        products_n: complements of the slots (`column_slots`), `slot_0` and so on.
    """

    KIND = "mac_digit_element"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.UNIT, both_polarities=True)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        slots = column_slots(config)
        super().__init__(
            {
                "activation": In(signed(config.activation_bits)),
                "load": In(1),
                "lines": In(lines_layout(config)),
                "products_n": Out(data.StructLayout({f"slot_{i}": slot.bits for i, slot in enumerate(slots)})),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        return (f"{config.activation_bits}x{config.weight_bits}{storage_suffix(config)}",)

    @property
    def clocked(self) -> bool:
        return self.config.activation_storage != "latch"

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        value = store(m, config, self.activation, self.load).as_unsigned()
        slot = 0
        for number, digit in enumerate(digits_of(config)):
            lines = self.lines[number]
            y = apply_sign(m, f"sign_{number}", value, lines.negative)
            single, double = (y, lines.single, 0), (y, lines.double, 1)
            choices = [[single, double]] if digit.exclusive else [[single], [(y, lines.double, 0)]]
            for taken, shape in zip(choices, digit.slots(config.activation_bits), strict=True):
                m.d.comb += self.products_n[f"slot_{slot}"].eq(select_value_n(m, f"select_{slot}", shape.bits, *taken))
                slot += 1
        return m
