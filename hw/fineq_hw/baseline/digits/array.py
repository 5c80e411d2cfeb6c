"""The hand-built MAC array: recoders on top, rows of elements, one accumulator per row."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.baseline.digits.accumulator import DigitAccumulator, correction_bits, line_weights
from fineq_hw.baseline.digits.recoding import Recoder, lines_layout
from fineq_hw.baseline.digits.row import DigitRow, row_parameters, sum_bits
from fineq_hw.baseline.mac_delays import DelayTriangle
from fineq_hw.cells.activation_storage import incoming_row
from fineq_hw.cells.adder_tree import Popcount
from fineq_hw.config import MacConfig
from fineq_hw.latencies import mac_array_latency
from fineq_hw.lib.core_ports import activation_vector_layout, sums_layout, weight_vector_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


class StageSkew(DelayTriangle):
    """Delays the weights of a column by the registers that the partial sum passes before it."""

    KIND = "mac_stage_skew"

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(config.weight_bits, [column // config.register_columns for column in range(config.columns)])

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.weight_bits, self.config.columns, self.config.register_columns)


class RowAlignment(DelayTriangle):
    """Delays of the sums of a systolic array, whose rows end one after the other."""

    KIND = "mac_row_align"

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(sum_bits(config, config.columns) + 1, range(config.rows)[::-1])

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (sum_bits(self.config, self.config.columns), self.config.rows)


class CorrectionDelay(DelayTriangle):
    """Delays the correction of a vector until its sums are there."""

    KIND = "mac_correction_delay"

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(correction_bits(config) + 1, [mac_array_latency(config)])

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (correction_bits(self.config), mac_array_latency(self.config))


class DigitArray(VerilogComponent):
    """Rows of `DigitElement`s with skewed select lines, and aligned results.

    Ports and timing: as `fineq_hw.baseline.mac_array.MacArray`; the sums of a vector reach the row accumulators
    `fineq_hw.latencies.mac_array_latency` enabled cycles after it enters.
    """

    KIND = "mac_digit_array"
    ROLE = Role(CoreBlock.BROADCAST_BUFFERS, Synthesis.KEEP)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(config.rows),
                "weights": In(weight_vector_layout(config)),
                "enable": In(1),
                "take_partial": In(1),
                "partials": In(sums_layout(config)),
                "sums": Out(sums_layout(config)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{self.config.rows}x{row_parameters(self.config)}", self.config.accumulator_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        systolic = config.weight_path == "systolic"
        correction = self._elaborate_correction(m)
        lines = self._elaborate_lines(m)
        if systolic:
            align = RowAlignment(config)
            place(m, "align", align)
            m.d.comb += align.enable.eq(self.enable)
        incoming = incoming_row(m, config, self.activations, self.load)
        for number in range(config.rows):
            row = DigitRow(config)
            accumulator = DigitAccumulator(config)
            place(m, f"row_{number}", row)
            place(m, f"accumulator_{number}", accumulator)
            aligned = row.sum
            if systolic:
                m.d.comb += align.lanes_in[number].eq(row.sum)
                aligned = align.lanes_out[number]
            m.d.comb += [
                row.activations.eq(incoming),
                row.load.eq(self.load[number]),
                row.lines.eq(lines),
                row.enable.eq(self.enable),
                accumulator.sum.eq(aligned),
                accumulator.correction.eq(correction),
                accumulator.partial.eq(self.partials[number]),
                accumulator.take_partial.eq(self.take_partial),
                accumulator.enable.eq(self.enable),
                self.sums[number].eq(accumulator.total),
            ]
            if systolic:
                lines = row.lines_out
        return m

    def _elaborate_lines(self, m: Module) -> Signal:
        """Skewed select lines; with broadcast weights from registers, else the rows have them."""
        config = self.config
        skew = StageSkew(config)
        place(m, "skew", skew)
        m.d.comb += skew.enable.eq(self.enable)
        lines = Signal(data.ArrayLayout(lines_layout(config), config.columns))
        for column in range(config.columns):
            recoder = Recoder(config)
            place(m, f"recoder_{column}", recoder)
            m.d.comb += [
                skew.lanes_in[column].eq(self.weights[column]),
                recoder.weight.eq(skew.lanes_out[column]),
                lines[column].eq(recoder.lines),
            ]
        if config.weight_path == "systolic":
            return lines
        registers = Signal.like(lines, name="line_registers", reset_less=True)
        with m.If(self.enable):
            m.d.sync += registers.eq(lines)
        return registers

    def _elaborate_correction(self, m: Module) -> Signal:
        """The correction of the vector whose sums reach the accumulators; from a register."""
        config = self.config
        entering = []
        for column in range(config.columns):
            recoder = Recoder(config)
            place(m, f"counted_{column}", recoder)
            m.d.comb += recoder.weight.eq(self.weights[column])
            entering.append(recoder.lines)

        def count_ones(name: str, ones: list) -> Signal:
            counter = Popcount(config.columns, "structural")
            place(m, name, counter)
            m.d.comb += counter.operands.as_value().eq(Cat(ones))
            return counter.sum

        offset = 1 << (config.activation_bits - 1)
        total = 0
        for digit, line, times in line_weights(config):
            name = f"{line}_{digit}"
            sent = [lines[digit][line] for lines in entering]
            positive = [~(lines[digit][line] & lines[digit].negative) for lines in entering]
            total += count_ones(f"count_{name}", sent) * (times * offset)
            total += count_ones(f"count_not_negative_{name}", positive) * times
        delay = CorrectionDelay(config)
        place(m, "correction_delay", delay)
        m.d.comb += [delay.enable.eq(self.enable), delay.lanes_in[0].eq(total)]
        return delay.lanes_out[0][: correction_bits(config)]
