"""A row of the hand-built MAC array: elements, adders and a register every few columns."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.array.encodings.base import Slot
from fineq_hw.baseline.digits.element import DigitElement
from fineq_hw.baseline.digits.recoding import column_slots, lines_layout
from fineq_hw.cells.activation_storage import row_load, storage_suffix
from fineq_hw.cells.adder_tree import AdderTree
from fineq_hw.config import MacConfig
from fineq_hw.lib.core_ports import activation_vector_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


def largest_sum(config: MacConfig, columns: int) -> int:
    """The most that so many columns can add up to."""
    return columns * sum(((1 << slot.bits) - 1) << slot.shift for slot in column_slots(config))


def sum_bits(config: MacConfig, columns: int) -> int:
    """Width of the unsigned sum of the complemented slots of so many columns."""
    return largest_sum(config, columns).bit_length()


def row_parameters(config: MacConfig) -> str:
    """The parameters that a row depends on, for module names."""
    size = f"{config.activation_bits}x{config.weight_bits}_{config.columns}"
    return f"{size}_{config.weight_path}_every_{config.register_columns}{storage_suffix(config)}"


class DigitStage(VerilogComponent):
    """partial_out = partial_in + the slots of its columns, registered.

    Args:
        config: the array.
        first: its first column; stage 0 has no `partial_in`.

    Ports:
        products_n: slots of its columns, one column behind the other, `operand_0` and so on.
        enable: advance; otherwise the partial sum stays.
        partial_in, partial_out: unsigned sums of complements, as wide as they can get.
    """

    KIND = "mac_digit_stage"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.UNIT)

    def __init__(self, config: MacConfig, first: int) -> None:
        self.config = config
        self.first = first
        self.size = min(config.register_columns, config.columns - first)
        self.slots = [slot for _ in range(self.size) for slot in column_slots(config)]
        ports = {
            "products_n": In(data.StructLayout({f"operand_{i}": slot.bits for i, slot in enumerate(self.slots)})),
            "enable": In(1),
            "partial_out": Out(sum_bits(config, first + self.size)),
        }
        if first:
            ports["partial_in"] = In(sum_bits(config, first))
        super().__init__(ports)

    @property
    def module_parameters(self) -> tuple[object, ...]:
        """Stages with the same operands are the same circuit."""
        config = self.config
        before = sum_bits(config, self.first) if self.first else 0
        kind = f"{config.activation_bits}x{config.weight_bits}"
        return (kind, self.size, before, len(self.partial_out))

    def elaborate(self, platform) -> Module:
        m = Module()
        before = [Slot(len(self.partial_in))] if self.first else []
        operands = [*self.slots, *before]
        tree = AdderTree(
            [operand.bits for operand in operands],
            len(self.partial_out),
            shifts=[operand.shift for operand in operands],
            arrivals=[_PRODUCT_ARRIVAL] * len(self.slots) + [0] * len(before),
            # A carry that ripples through full adders is the smallest; the few columns of a stage leave time for it.
            ripple_columns=len(self.partial_out),
            module_parameters=self.module_parameters,
        )
        place(m, "tree", tree)
        for number in range(len(self.slots)):
            m.d.comb += tree.operands[f"operand_{number}"].eq(self.products_n[f"operand_{number}"])
        if before:
            m.d.comb += tree.operands[f"operand_{len(self.slots)}"].eq(self.partial_in)
        total = Signal.like(self.partial_out, reset_less=True)
        with m.If(self.enable):
            m.d.sync += total.eq(tree.sum)
        m.d.comb += self.partial_out.eq(total)
        return m


_PRODUCT_ARRIVAL = 4
"""Arrival of the products at the tree in the units of `cells.compression`; partial sums come from registers."""


class DigitRow(VerilogComponent):
    """A row of elements: select lines enter from above, the sum leaves on the right, `MacConfig.stages` cycles later.

    Ports:
        activations, load: as `ProcessingArray`, for this row.
        lines: select lines of every column. They pass a register here if the weight path is `systolic`.
        lines_out (`systolic` only): the registered lines, to the row below.
        enable: advance.
        sum: unsigned sum of all complemented slots.
    """

    KIND = "mac_digit_row"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.KEEP, repeated=True)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        lines = data.ArrayLayout(lines_layout(config), config.columns)
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(1),
                "lines": In(lines),
                **({"lines_out": Out(lines)} if config.weight_path == "systolic" else {}),
                "enable": In(1),
                "sum": Out(sum_bits(config, config.columns)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (row_parameters(self.config),)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        load = row_load(m, config, self.load)
        lines = self.lines
        if config.weight_path == "systolic":
            lines = Signal.like(self.lines, reset_less=True)
            with m.If(self.enable):
                m.d.sync += lines.eq(self.lines)
            m.d.comb += self.lines_out.eq(lines)
        slots = len(column_slots(config))
        partial = None
        for number, first in enumerate(range(0, config.columns, config.register_columns)):
            stage = DigitStage(config, first)
            place(m, f"stage_{number}", stage)
            m.d.comb += stage.enable.eq(self.enable)
            if partial is not None:
                m.d.comb += stage.partial_in.eq(partial)
            for place_in_stage in range(stage.size):
                column = first + place_in_stage
                element = DigitElement(config)
                place(m, f"element_{column}", element)
                m.d.comb += [
                    element.activation.eq(self.activations[column]),
                    element.load.eq(load),
                    element.lines.eq(lines[column]),
                ]
                for slot in range(slots):
                    m.d.comb += stage.products_n[f"operand_{place_in_stage * slots + slot}"].eq(
                        element.products_n[f"slot_{slot}"]
                    )
            partial = stage.partial_out
        m.d.comb += self.sum.eq(partial)
        return m
