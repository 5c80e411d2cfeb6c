"""The temporal-coding array: encoders on top, rows of processing elements, one accumulator per row (Fig. 5(b))."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq.format import MAX_MAGNITUDE
from fineq_hw.accumulator import Accumulator, correction_bits, row_parameters
from fineq_hw.activation_storage import incoming_row, row_load, storage_suffix
from fineq_hw.adder_tree import popcount
from fineq_hw.config import ArrayConfig
from fineq_hw.hierarchy import place
from fineq_hw.layouts import activation_vector_layout, sums_layout, weight_vector_layout
from fineq_hw.processing_element import ProcessingElement
from fineq_hw.temporal_encoder import TemporalEncoder


def _select_lines(config: ArrayConfig) -> dict[str, wiring.Member]:
    """What is broadcast down the columns in each step, and how it reaches a row."""
    names = ("pulse", "negative") if config.sign_handling == "row" else ("positive", "negative")
    return {name: In(config.columns) for name in names} | {"correction": In(correction_bits(config))}


class ArrayRow(wiring.Component):
    """One row: a processing element per column and the accumulator.

    Ports: those of `ProcessingElement` for all columns at once, and those of `Accumulator`.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(1),
                **_select_lines(config),
                "partial": In(sums_layout(config).elem_shape),
                "hold": In(1),
                "take_partial": In(1),
                "enable": In(1),
                "sum": Out(sums_layout(config).elem_shape),
            }
        )

    @staticmethod
    def module_name(config: ArrayConfig) -> str:
        return "fineq_row_" + row_parameters(config) + storage_suffix(config)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        load = row_load(m, config, self.load)
        accumulator = Accumulator(config)
        place(m, "accumulator", accumulator, Accumulator.module_name(config))
        shared = ["correction", "partial", "hold", "take_partial", "enable"]
        if config.sign_handling == "row":
            shared.append("negative")
        m.d.comb += [getattr(accumulator, name).eq(getattr(self, name)) for name in shared]
        m.d.comb += self.sum.eq(accumulator.sum)
        for column in range(config.columns):
            element = ProcessingElement(config)
            place(
                m,
                f"element_{column}",
                element,
                ProcessingElement.module_name(config),
                clocked=config.activation_storage != "latch",
            )
            m.d.comb += [
                element.activation.eq(self.activations[column]),
                element.load.eq(load),
                accumulator.products_n[column].eq(element.product_n),
            ]
            if config.sign_handling == "row":
                m.d.comb += element.pulse.eq(self.pulse[column])
            else:
                m.d.comb += [element.positive.eq(self.positive[column]), element.negative.eq(self.negative[column])]
        return m


class ProcessingArray(wiring.Component):
    """Input-stationary array. Pulses and the correction are computed once and broadcast to all rows.

    Ports:
        activations, load: a row of activations and, per row, whether it takes them at this clock edge. Rows
            that do not load stay still, so that synthesis can gate their clocks.
        weights, load_weights: a weight vector for the encoders, taken when `load_weights` is high.
        count, terminate: see `TemporalEncoder`.
        hold, take_partial, enable: see `Accumulator`.
        partials, sums: one per row.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(config.rows),
                "weights": In(weight_vector_layout(config)),
                "load_weights": In(1),
                "count": In(range(MAX_MAGNITUDE)),
                "terminate": In(1),
                "hold": In(1),
                "take_partial": In(1),
                "enable": In(1),
                "partials": In(sums_layout(config)),
                "sums": Out(sums_layout(config)),
            }
        )

    @staticmethod
    def module_name(config: ArrayConfig) -> str:
        return f"fineq_array_{config.rows}x{row_parameters(config)}_{config.encoding}{storage_suffix(config)}"

    def elaborate(self, platform) -> Module:
        m = Module()
        lines = self._elaborate_encoders(m)
        config = self.config
        incoming = incoming_row(m, config, self.activations, self.load)
        for row in range(config.rows):
            array_row = ArrayRow(config)
            place(m, f"row_{row}", array_row, ArrayRow.module_name(config))
            m.d.comb += [getattr(array_row, name).eq(line) for name, line in lines.items()]
            m.d.comb += [
                array_row.activations.eq(incoming),
                array_row.load.eq(self.load[row]),
                array_row.partial.eq(self.partials[row]),
                array_row.hold.eq(self.hold),
                array_row.take_partial.eq(self.take_partial),
                array_row.enable.eq(self.enable),
                self.sums[row].eq(array_row.sum),
            ]
        return m

    def _elaborate_encoders(self, m: Module) -> dict[str, Signal]:
        """Encoders and correction; returns the lines that go to every row."""
        config = self.config
        lines = {name: Signal(member.shape, name=name) for name, member in _select_lines(config).items()}
        for column in range(config.columns):
            encoder = TemporalEncoder(config)
            place(m, f"encoder_{column}", encoder, TemporalEncoder.module_name(config))
            m.d.comb += [
                encoder.weight.eq(self.weights[column]),
                encoder.load.eq(self.load_weights),
                encoder.count.eq(self.count),
                encoder.terminate.eq(self.terminate),
            ]
            if config.sign_handling == "row":
                m.d.comb += [
                    lines["pulse"][column].eq(encoder.pulse),
                    lines["negative"][column].eq(encoder.pulse & encoder.sign),
                ]
            else:
                m.d.comb += [
                    lines["positive"][column].eq(encoder.positive),
                    lines["negative"][column].eq(encoder.negative),
                ]

        def count_ones(name: str, ones: Signal) -> Signal:
            counter = popcount(config.columns, config.adder_tree)
            tree = "" if config.adder_tree == "structural" else f"_{config.adder_tree}"
            place(m, name, counter, f"fineq_popcount_{config.columns}{tree}", clocked=False)
            m.d.comb += counter.operands.as_value().eq(ones)
            return counter.sum

        correction = count_ones("count_not_negative", ~lines["negative"])
        if config.sign_handling == "column":
            pulses = count_ones("count_pulses", lines["positive"] | lines["negative"])
            correction = correction + (pulses << (config.activation_bits - 1))
        m.d.comb += lines["correction"].eq(correction)
        return lines
