"""End of a row of the hand-built MAC array, and what it must put right: the correction."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib.wiring import In, Out

from fineq_hw.baseline.digits.recoding import column_slots, digits_of
from fineq_hw.baseline.digits.row import largest_sum, sum_bits
from fineq_hw.cells.adder_tree import AdderTree
from fineq_hw.config import MacConfig
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


def line_weights(config: MacConfig) -> list[tuple[int, str, int]]:
    """Every select line that adds: number of its digit, name, and how many activations it adds."""
    return [
        (number, line, times << digit.shift)
        for number, digit in enumerate(digits_of(config))
        for line, times in (("single", 1), ("double", 2))
    ]


def most_added(config: MacConfig) -> int:
    """Sum of the weights of all select lines of a column."""
    return sum(times for _, _, times in line_weights(config))


def correction_bits(config: MacConfig) -> int:
    """Width of the correction operand (see `DigitAccumulator`)."""
    return (config.columns * most_added(config) * ((1 << (config.activation_bits - 1)) + 1)).bit_length()


class DigitAccumulator(VerilogComponent):
    """total = the row's signed products + (`partial` or 0), registered.

    `sum` is the sum of complemented slots, whose largest value is K. With b activation bits, C columns, Z the sum of
    the magnitudes of all digits of the vector, N the part of it with negative signs, and D the sum of the weights of
    the select lines of a column:

        signed products = K - sum - 2^(b-1) Z + N

    In complemented form, as in `fineq_hw.array.accumulator`, one tree adds `sum`, the correction
    2^(b-1) Z + (D C - N), the complement of `partial` and the constant -K - D C.

    Ports:
        sum: of the row, aligned with the others.
        correction: of the vector whose sum it is; the same for all rows.
        partial, take_partial: add `partial` if `take_partial` is high.
        enable: take the new total at this clock edge.
        total: signed; what the row hands over.
    """

    KIND = "mac_digit_accumulator"
    ROLE = Role(CoreBlock.ACCUMULATORS, Synthesis.KEEP)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(
            {
                "sum": In(sum_bits(config, config.columns)),
                "correction": In(correction_bits(config)),
                "partial": In(signed(config.accumulator_bits)),
                "take_partial": In(1),
                "enable": In(1),
                "total": Out(signed(config.accumulator_bits)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        size = f"{config.activation_bits}x{config.weight_bits}_{config.columns}"
        return (size, len(column_slots(config)), config.accumulator_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        bits = config.accumulator_bits
        constant = -largest_sum(config, config.columns) - config.columns * most_added(config)
        widths = [len(self.sum), len(self.correction), bits]
        tree = AdderTree(widths, bits, constant=constant, module_parameters=self.module_parameters)
        place(m, "tree", tree)
        start = self.partial & self.take_partial.replicate(bits)
        total_n = Signal(bits, reset_less=True)
        m.d.comb += [
            tree.operands.operand_0.eq(self.sum),
            tree.operands.operand_1.eq(self.correction),
            tree.operands.operand_2.eq(~start),
            self.total.eq((~total_n).as_signed()),
        ]
        with m.If(self.enable):
            m.d.sync += total_n.eq(tree.sum)
        return m
