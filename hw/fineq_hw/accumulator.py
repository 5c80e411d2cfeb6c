"""Accumulation unit of one row: signs, adder tree, partial-sum register (paper Section IV-C, Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.adder_tree import AdderTree, popcount_arrival
from fineq_hw.config import ArrayConfig
from fineq_hw.hierarchy import place

_PRODUCT_ARRIVAL = 2
"""Arrival of the products at the tree, in the units of `adder_tree`: one select gate behind the pulses."""


def correction_bits(config: ArrayConfig) -> int:
    """Width of the correction operand (see `Accumulator`)."""
    largest = config.columns
    if config.sign_handling == "column":
        largest += config.columns << (config.activation_bits - 1)
    return largest.bit_length()


class Accumulator(wiring.Component):
    """sum = (sum, or on the first step `partial` or 0) + the row's signed products, once per step.

    Everything in the tree is complemented, from the products (see `ProcessingElement`) to the old sum, so
    that its result is the complement of the new sum. One carry-propagate adder does all: products,
    correction and old sum are operands of the same carry-save tree. With b activation bits and C columns,
    of which Z pulse and N of these pulse negatively, the operands fall short of the true complement by a
    constant and by counts that depend on the weights alone. The array computes these once for all rows:

    * `row`: correction = C - N, constant -2^(b-1) C. Negation inverts the product (the XOR here) and adds
      one; the sign bit is taken inverted, which makes all products unsigned.
    * `column`: correction = 2^(b-1) Z + (C - N), constant -2^b C. The processing elements have applied the
      sign.

    docs/hardware.md derives both.

    Ports:
        products_n: complemented products of the row's processing elements.
        negative (`row` only): per column, a negative pulse.
        correction: see above; unsigned.
        partial: starting value on a first step with `take_partial`.
        hold, take_partial: add the old sum, add `partial`; both low: start from 0. Never both high.
        enable: do a step at this clock edge; otherwise the sum stays.
        sum: the accumulated sum.

    Args:
        config: the array. Its `accumulator_bits` bound the inner dimension (`max_inner_dimension`); results
            wrap beyond it.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "products_n": In(data.ArrayLayout(config.activation_bits, config.columns)),
                **({"negative": In(config.columns)} if config.sign_handling == "row" else {}),
                "correction": In(correction_bits(config)),
                "partial": In(signed(config.accumulator_bits)),
                "hold": In(1),
                "take_partial": In(1),
                "enable": In(1),
                "sum": Out(signed(config.accumulator_bits)),
            }
        )

    @staticmethod
    def module_name(config: ArrayConfig) -> str:
        return "fineq_accumulator_" + row_parameters(config)

    def adder_tree(self) -> AdderTree:
        """The row's tree. Operands: one product per column, the correction, the old sum."""
        config = self.config
        bits = config.activation_bits
        offset_bits = bits - 1 if config.sign_handling == "row" else bits
        return AdderTree(
            [bits] * config.columns + [correction_bits(config), config.accumulator_bits],
            config.accumulator_bits,
            constant=-config.columns << offset_bits,
            arrivals=[_PRODUCT_ARRIVAL] * config.columns + [popcount_arrival(config.columns), 0],
            structure=config.adder_tree,
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        tree = self.adder_tree()
        place(m, "tree", tree, "fineq_adder_tree_" + row_parameters(config), clocked=False)
        operands = [tree.operands[f"operand_{i}"] for i in range(config.columns + 2)]

        for column in range(config.columns):
            operand = self.products_n[column]
            if config.sign_handling == "row":
                signed_n = operand ^ self.negative[column].replicate(config.activation_bits)
                operand = Cat(signed_n[:-1], ~signed_n[-1])
            m.d.comb += operands[column].eq(operand)

        total = Signal(signed(config.accumulator_bits), reset_less=True)
        bits = config.accumulator_bits
        start = (total & self.hold.replicate(bits)) | (self.partial & self.take_partial.replicate(bits))
        m.d.comb += [operands[-2].eq(self.correction), operands[-1].eq(~start)]
        with m.If(self.enable):
            m.d.sync += total.eq(~tree.sum)
        m.d.comb += self.sum.eq(total)
        return m


def row_parameters(config: ArrayConfig) -> str:
    """The parameters that a row depends on, for module names."""
    tree = "" if config.adder_tree == "structural" else f"_{config.adder_tree}"
    return f"{config.columns}x{config.activation_bits}_{config.accumulator_bits}_{config.sign_handling}{tree}"
