"""The temporal-coding array: encoders on top, rows of processing elements, one accumulator per row (Fig. 5(b))."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.array.accumulator import Accumulator, correction_bits, row_parameters
from fineq_hw.array.encodings.registry import encoding_of, groups
from fineq_hw.array.processing_element import ProcessingElement
from fineq_hw.array.temporal_encoder import DIGIT_NAMES
from fineq_hw.cells.activation_storage import incoming_row, row_load, storage_suffix
from fineq_hw.cells.adder_tree import Popcount
from fineq_hw.config import ArrayConfig
from fineq_hw.lib.core_ports import activation_vector_layout, sums_layout, weight_vector_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


def lines_layout(config: ArrayConfig) -> data.StructLayout:
    """The select lines of all columns: what is broadcast to the rows in each step."""
    return data.StructLayout({f"group_{group.first}": group.lines_layout for group in groups(config)})


class ArrayRow(VerilogComponent):
    """One row: a processing element per group of columns, and the accumulator.

    Ports: `lines` for all processing elements at once, `activations` and `load` as in `ProcessingArray` for this
    row, the others those of `Accumulator`.
    """

    KIND = "row"
    ROLE = Role(CoreBlock.ACCUMULATORS, Synthesis.KEEP, repeated=True)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(1),
                "lines": In(lines_layout(config)),
                "correction": In(correction_bits(config)),
                "partial": In(sums_layout(config).elem_shape),
                "hold": In(1),
                "take_partial": In(1),
                "enable": In(1),
                "sum": Out(sums_layout(config).elem_shape),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (row_parameters(self.config) + storage_suffix(self.config),)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        load = row_load(m, config, self.load)
        accumulator = Accumulator(config)
        place(m, "accumulator", accumulator)
        shared = ("correction", "partial", "hold", "take_partial", "enable")
        m.d.comb += [getattr(accumulator, name).eq(getattr(self, name)) for name in shared]
        m.d.comb += self.sum.eq(accumulator.sum)
        products = []
        for group in groups(config):
            element = ProcessingElement(group)
            place(m, f"element_{group.first}", element)
            lines = self.lines[f"group_{group.first}"]
            m.d.comb += [element.load.eq(load), element.lines.eq(lines)]
            m.d.comb += [element.activations[i].eq(self.activations[group.first + i]) for i in range(group.size)]
            products.append(element.products_n)
            if config.sign_handling == "row":
                m.d.comb += accumulator.negative[group.first].eq(lines.negative)
        m.d.comb += accumulator.products_n.as_value().eq(Cat(products))
        return m


class ProcessingArray(VerilogComponent):
    """Input-stationary array. Select lines and the correction are computed once and broadcast to all rows.

    Ports:
        activations, load: a row of activations and, per row, whether it takes them at this clock edge. Rows
            that do not load stay still, so that synthesis can gate their clocks.
        weights, load_weights, single_step: a weight vector for the encoders, taken when `load_weights` is high (see
            `TemporalEncoder` and, for `single_step`, `Encoding.vector_ports`).
        hold, take_partial: see `Accumulator`.
        enable: execute a step at this clock edge.
        partials, sums: one per row.
    """

    KIND = "array"
    ROLE = Role(CoreBlock.TEMPORAL_ENCODERS, Synthesis.KEEP, buffers=CoreBlock.BROADCAST_BUFFERS)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(config.rows),
                "weights": In(weight_vector_layout(config)),
                "load_weights": In(1),
                "single_step": In(1),
                "hold": In(1),
                "take_partial": In(1),
                "enable": In(1),
                "partials": In(sums_layout(config)),
                "sums": Out(sums_layout(config)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{self.config.rows}x{row_parameters(self.config)}{storage_suffix(self.config)}",)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        lines, correction = self._elaborate_encoders(m)
        incoming = incoming_row(m, config, self.activations, self.load)
        for row in range(config.rows):
            array_row = ArrayRow(config)
            place(m, f"row_{row}", array_row)
            m.d.comb += [
                array_row.activations.eq(incoming),
                array_row.load.eq(self.load[row]),
                array_row.lines.eq(lines),
                array_row.correction.eq(correction),
                array_row.partial.eq(self.partials[row]),
                array_row.hold.eq(self.hold),
                array_row.take_partial.eq(self.take_partial),
                array_row.enable.eq(self.enable),
                self.sums[row].eq(array_row.sum),
            ]
        return m

    def _elaborate_encoders(self, m: Module) -> tuple[Signal, Signal]:
        """Encoders, and the correction of the step to come; returns what goes to every row, all from registers."""
        config = self.config
        lines = Signal(lines_layout(config))
        update = Signal()
        m.d.comb += update.eq(self.load_weights | self.enable)
        following = []
        for group in groups(config):
            encoder = group.make_encoder()
            place(m, f"encoder_{group.first}", encoder)
            m.d.comb += [
                encoder.load.eq(self.load_weights),
                encoder.update.eq(update),
                lines[f"group_{group.first}"].eq(encoder.lines),
            ]
            m.d.comb += [getattr(encoder, name).eq(getattr(self, name)) for name in group.encoding.vector_ports]
            for i in range(group.size):
                m.d.comb += encoder.weights[i].eq(self.weights[group.first + i])
                following.append(encoder.following[i])

        def count_ones(name: str, ones: list) -> Signal:
            counter = Popcount(config.columns, config.adder_tree)
            place(m, name, counter)
            m.d.comb += counter.operands.as_value().eq(Cat(ones))
            return counter.sum

        total = 0
        for power, name in zip(encoding_of(config).digits, DIGIT_NAMES, strict=False):
            sent = [digit[name] for digit in following]
            not_negative = [~(digit[name] & digit.negative) for digit in following]
            total += count_ones(f"count_not_negative_{name}", not_negative) << power
            if config.sign_handling == "column":
                total += count_ones(f"count_{name}", sent) << (power + config.activation_bits - 1)
        correction = Signal(correction_bits(config), reset_less=True)
        with m.If(update):
            m.d.sync += correction.eq(total)
        return lines, correction
