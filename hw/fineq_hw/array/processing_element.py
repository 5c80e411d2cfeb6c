"""Processing elements: stationary activations and selectors in place of multipliers (paper Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Module, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.array.encodings.base import Group
from fineq_hw.cells.activation_storage import storage_suffix, store
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


class ProcessingElement(VerilogComponent):
    """Keeps the activation x of one column, or the three of a cluster, and selects what the row adds.

    The select network is that of the encoding (`Encoding.select`; the paper's is in `encodings.one_digit`).

    The outputs are the *complements* of the selected values: inverting gates are smaller, and full adders are
    self-dual (inverted inputs give inverted outputs), so the adder tree takes them as they are. With b bits,
    u = x + 2^(b-1), which is x with its sign bit inverted, and ~u = 2^b - 1 - u:

    * sign handling `row`: a slot is the complement of x or of 0; the sign goes past the element to the accumulator.
    * sign handling `column`: a slot is the complement of u, or of ~u if the weight is negative, or of 0. An encoding
      with two digits may shift it left by one.

    Ports:
        activations, load: what to keep, taken at the clock edge when `load` is high; with storage `latch`, `load`
            is the row's gated clock.
        lines: select lines, `Group.lines_layout`.
        products_n: complements of the slots, `Group.products_layout`.
    """

    KIND = "processing_element"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.UNIT, both_polarities=True)

    def __init__(self, group: Group) -> None:
        self.group = group
        bits = group.config.activation_bits
        super().__init__(
            {
                "activations": In(data.ArrayLayout(signed(bits), group.size)),
                "load": In(1),
                "lines": In(group.lines_layout),
                "products_n": Out(group.products_layout),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.group.config
        kind = f"{self.group.encoding.element_name_part(config)}{storage_suffix(config)}"
        return (config.activation_bits, kind)

    @property
    def clocked(self) -> bool:
        return self.group.config.activation_storage != "latch"

    def elaborate(self, platform) -> Module:
        m = Module()
        group, config = self.group, self.group.config
        values = [
            store(m, config, self.activations[i], self.load, f"value_{i}").as_unsigned() for i in range(group.size)
        ]
        for number, slot_n in enumerate(group.encoding.select(m, config, values, self.lines)):
            m.d.comb += self.products_n[f"slot_{number}"].eq(slot_n)
        return m
