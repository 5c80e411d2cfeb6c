"""Accumulation unit of one row: signs, adder tree, partial-sum register (paper Section IV-C, Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.array.encodings.base import Slot
from fineq_hw.array.encodings.registry import encoding_of, row_slots
from fineq_hw.cells.adder_tree import AdderTree
from fineq_hw.cells.select_cells import apply_sign
from fineq_hw.config import ArrayConfig
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role

_PRODUCT_ARRIVAL = 4
_START_ARRIVAL = 3
"""Arrivals at the tree in the units of `cells.compression`: select gates behind registered lines, and the old sum
behind its gate. The correction comes straight from a register."""


def correction_bits(config: ArrayConfig) -> int:
    """Width of the correction operand (see `Accumulator`)."""
    largest = config.columns
    if config.sign_handling == "column":
        largest += config.columns << (config.activation_bits - 1)
    return (largest * encoding_of(config).largest_step).bit_length()


class Accumulator(VerilogComponent):
    """sum = (sum, or on the first step `partial` or 0) + the row's signed products, once per step.

    Everything in the tree is complemented, from the products (see `ProcessingElement`) to the old sum, so
    that its result is the complement of the new sum. One carry-propagate adder does all: products,
    correction and old sum are operands of the same carry-save tree. The operands fall short of the true complement
    by a constant and by counts that depend on the weights alone; the array computes these once for all rows. With b
    activation bits, C columns, Z the sum of the magnitudes sent in the step, N the part of Z with negative signs
    and D the largest magnitude that a column can send in a step:

    * `row`: correction = C - N, constant -2^(b-1) C. Negation inverts the product (the XOR here) and adds
      one; the sign bit is taken inverted, which makes all products unsigned.
    * `column`: correction = 2^(b-1) Z + (D C - N), constant -D C - K, where K is the largest sum of all slots. The
      processing elements have applied the sign.

    An encoding may double the old sum in a later step (`Encoding.start_operands`); the partial sum is then an operand
    of its own. docs/hardware/array.md derives all this.

    Ports:
        products_n: complemented products of the row's processing elements, one per slot (`registry.row_slots`).
        negative (`row` only): per column, a negative pulse.
        correction: see above; unsigned.
        partial: starting value on a step with `take_partial`.
        hold, take_partial: add the old sum, add `partial`; both low: start from 0. Never both high, except with
            an encoding that doubles the sum.
        enable: do a step at this clock edge; otherwise the sum stays.
        sum: the accumulated sum.

    Args:
        config: the array. Its `accumulator_bits` bound the inner dimension (`max_inner_dimension`); results
            wrap beyond it.
    """

    KIND = "accumulator"
    ROLE = Role(CoreBlock.ACCUMULATORS)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        self.slots = row_slots(config)
        super().__init__(
            {
                "products_n": In(data.StructLayout({f"slot_{i}": slot.bits for i, slot in enumerate(self.slots)})),
                **({"negative": In(config.columns)} if config.sign_handling == "row" else {}),
                "correction": In(correction_bits(config)),
                "partial": In(signed(config.accumulator_bits)),
                "hold": In(1),
                "take_partial": In(1),
                "enable": In(1),
                "sum": Out(signed(config.accumulator_bits)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (row_parameters(self.config),)

    def adder_tree(self) -> AdderTree:
        """The row's tree. Operands: the slots, the correction, and what the step starts from."""
        config, slots, encoding = self.config, self.slots, encoding_of(self.config)
        if config.sign_handling == "row":
            constant = -config.columns << (config.activation_bits - 1)
        else:
            constant = -config.columns * encoding.largest_step
            constant -= sum(((1 << slot.bits) - 1) << slot.shift for slot in slots)
        starts = encoding.start_slots(config.accumulator_bits)
        constant += sum(1 << start.shift for start in starts) - 1  # such as ~(2 a + p) = 2 ~a + ~p + 2
        operands = [*slots, Slot(correction_bits(config)), *starts]
        return AdderTree(
            [operand.bits for operand in operands],
            config.accumulator_bits,
            constant=constant,
            shifts=[operand.shift for operand in operands],
            arrivals=[_PRODUCT_ARRIVAL] * len(slots) + [0] + [_START_ARRIVAL] * len(starts),
            structure=config.adder_tree,
            module_parameters=(row_parameters(config),),
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        tree = self.adder_tree()
        place(m, "tree", tree)
        for slot in range(len(self.slots)):
            operand = self.products_n[f"slot_{slot}"]
            if config.sign_handling == "row":
                operand = Cat(apply_sign(m, f"sign_{slot}", operand, self.negative[slot]))
            m.d.comb += tree.operands[f"operand_{slot}"].eq(operand)

        # The register keeps the complement as it comes: flip-flops have both outputs.
        total_n = Signal(config.accumulator_bits, reset_less=True)
        total = (~total_n).as_signed()
        bits = config.accumulator_bits
        old = total & self.hold.replicate(bits)
        partial = self.partial & self.take_partial.replicate(bits)
        starts = encoding_of(config).start_operands(old, partial)
        for number, operand in enumerate([self.correction, *starts], len(self.slots)):
            m.d.comb += tree.operands[f"operand_{number}"].eq(operand)
        with m.If(self.enable):
            m.d.sync += total_n.eq(tree.sum)
        m.d.comb += self.sum.eq(total)
        return m


def row_parameters(config: ArrayConfig) -> str:
    """The parameters that a row depends on, for module names."""
    tree = "" if config.adder_tree == "structural" else f"_{config.adder_tree}"
    size = f"{config.columns}x{config.activation_bits}_{config.accumulator_bits}"
    return f"{size}_{encoding_of(config).name_part}_{config.sign_handling}{tree}"
