"""The baseline: a systolic array of multipliers with the streams of `TemporalCore` (paper Table III, first row).

It is meant to be as good as such an array gets: stationary activations, partial sums no wider than their
column needs, sign-magnitude weights converted once per column, no register that the dataflow does not ask for.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from fineq_hw.baseline.mac_delays import SumAlignment, WeightSkew
from fineq_hw.baseline.mac_row import MacRow, partial_bits, row_parameters
from fineq_hw.cells.activation_storage import incoming_row
from fineq_hw.config import MacConfig
from fineq_hw.lib.core_ports import activation_vector_layout, sums_layout, weight_vector_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


def array_parameters(config: MacConfig) -> tuple[object, ...]:
    """The parameters that a whole array depends on, for module names."""
    return (f"{config.rows}x{row_parameters(config)}", config.accumulator_bits)


class MacAccumulator(VerilogComponent):
    """End of a row: total = sum + (`partial` or 0), registered."""

    KIND = "mac_accumulator"
    ROLE = Role(CoreBlock.ACCUMULATORS, Synthesis.KEEP)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(
            {
                "sum": In(signed(partial_bits(config, config.columns))),
                "partial": In(signed(config.accumulator_bits)),
                "take_partial": In(1),
                "enable": In(1),
                "total": Out(signed(config.accumulator_bits)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (partial_bits(self.config, self.config.columns), self.config.accumulator_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        total = Signal.like(self.total, reset_less=True)
        with m.If(self.enable):
            m.d.sync += total.eq(self.sum + Mux(self.take_partial, self.partial, 0))
        m.d.comb += self.total.eq(total)
        return m


class MacArray(VerilogComponent):
    """Rows of multipliers with skewed weights and aligned results.

    A vector enters while `enable` is high; its sums, without partial sums, reach the row accumulators
    `fineq_hw.latencies.mac_array_latency` enabled cycles later, the totals leave one later.

    Ports: as `ProcessingArray`, with one `enable` for the whole pipeline. `take_partial` belongs to the
    vector at the accumulators.
    """

    KIND = "mac_array"
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
        return array_parameters(self.config)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        systolic = config.weight_path == "systolic"

        skew = WeightSkew(config)
        place(m, "skew", skew)
        if systolic:
            align = SumAlignment(config)
            place(m, "align", align)
            m.d.comb += align.enable.eq(self.enable)
        m.d.comb += skew.enable.eq(self.enable)
        for column in range(config.columns):
            weight = self.weights[column]
            if not config.signed_weights:
                weight = Mux(weight.sign, -weight.magnitude, weight.magnitude)
            m.d.comb += skew.lanes_in[column].eq(weight)

        incoming = incoming_row(m, config, self.activations, self.load)
        weights = skew.lanes_out
        for number in range(config.rows):
            row = MacRow(config)
            accumulator = MacAccumulator(config)
            place(m, f"row_{number}", row)
            place(m, f"accumulator_{number}", accumulator)
            aligned = row.sum
            if systolic:
                m.d.comb += align.lanes_in[number].eq(row.sum)
                aligned = align.lanes_out[number]
            m.d.comb += [
                row.activations.eq(incoming),
                row.load.eq(self.load[number]),
                row.weights.eq(weights),
                row.enable.eq(self.enable),
                accumulator.sum.eq(aligned),
                accumulator.partial.eq(self.partials[number]),
                accumulator.take_partial.eq(self.take_partial),
                accumulator.enable.eq(self.enable),
                self.sums[number].eq(accumulator.total),
            ]
            if systolic:
                weights = row.weights_out
        return m
