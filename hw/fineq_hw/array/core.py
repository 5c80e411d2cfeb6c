"""The cores: control unit and array behind ready/valid streams (ports and timing: docs/hardware/array.md)."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import wiring

from fineq_hw.array.accumulator import row_parameters
from fineq_hw.array.control_unit import ControlUnit
from fineq_hw.array.processing_array import ProcessingArray
from fineq_hw.cells.activation_storage import storage_suffix
from fineq_hw.config import ARRAYS, ArrayConfig
from fineq_hw.decode.line_decoder import LineDecoder
from fineq_hw.lib.core_ports import core_ports
from fineq_hw.lib.hierarchy import VerilogComponent, place, verilog_name
from fineq_hw.lib.role import CoreBlock, Role


class TemporalCore(VerilogComponent):
    """The array and its control unit, fed with decoded weights.

    A weight vector accepted in cycle t pulses in t + 1 to t + T and has its result valid from t + T + 1,
    with T from `fineq.format.temporal.vector_cycles`; the next vector can be accepted in t + T. `fineq_hw.latencies`
    has the whole formula.

    Streams:
        activations: rows of the stationary tile, row 0 first; `last` or the last row ends the preload. Rows
            that are not loaded keep their contents and give meaningless sums.
        weights: one vector per output channel. `accumulate`: start from a beat of `partials` and not from
            0. `last`: take new activations after this vector.
        partials: one starting value per row.
        results: one beat per weight vector, in order: sums[r] = start + sum over c of w[c] x[r][c]. A
            result that is not taken freezes the array.

    Other ports:
        early_termination: see `ControlUnit`; may change with any vector.
        computing: high in each cycle that executes a step.
    """

    KIND = "core"
    ROLE = Role(CoreBlock.CONTROL)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(core_ports(config))

    @property
    def module_name(self) -> str:
        """Its name in `ARRAYS`, or else its parameters."""
        config = self.config
        named = (name for name, known in ARRAYS.items() if known == config)
        parameters = f"{config.rows}x{row_parameters(config)}{storage_suffix(config)}"
        return next(named, verilog_name(self.KIND, parameters))

    def elaborate(self, platform) -> Module:
        m = Module()
        control = ControlUnit(self.config)
        array = ProcessingArray(self.config)
        place(m, "control", control)
        place(m, "array", array)

        m.d.comb += [
            control.activations_valid.eq(self.activations.valid),
            control.activations_last.eq(self.activations.payload.last),
            self.activations.ready.eq(control.activations_ready),
            control.weights_valid.eq(self.weights.valid),
            control.weights_accumulate.eq(self.weights.payload.accumulate),
            control.weights_last.eq(self.weights.payload.last),
            self.weights.ready.eq(control.weights_ready),
            control.partials_valid.eq(self.partials.valid),
            self.partials.ready.eq(control.partials_ready),
            self.results.valid.eq(control.results_valid),
            self.results.payload.last.eq(control.results_last),
            control.results_ready.eq(self.results.ready),
            control.early_termination.eq(self.early_termination),
            self.computing.eq(control.computing),
        ]
        m.d.comb += [
            control.magnitudes[column].eq(self.weights.payload.values[column].magnitude)
            for column in range(self.config.columns)
        ]
        m.d.comb += [
            array.activations.eq(self.activations.payload.values),
            array.weights.eq(self.weights.payload.values),
            array.partials.eq(self.partials.payload),
            array.enable.eq(control.computing),
            self.results.payload.sums.eq(array.sums),
        ]
        from_control = ("load", "load_weights", "single_step", "hold", "take_partial")
        m.d.comb += [getattr(array, name).eq(getattr(control, name)) for name in from_control]
        return m


class PackedCore(VerilogComponent):
    """`TemporalCore` fed with packed weight-buffer lines through the line decoder.

    Streams: `lines` in place of `weights`; its `slice` selects the vector within the line: the weights
    `config.line_order[slice * columns]` and up. The decoder is combinational, so timing is that of `TemporalCore`.
    The source offers the same line once for every slice that it wants to use.
    """

    KIND = "packed_core"
    ROLE = Role(CoreBlock.SLICE_MULTIPLEXER)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(core_ports(config, packed=True))

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{self.config.rows}x{row_parameters(self.config)}{storage_suffix(self.config)}",)

    def elaborate(self, platform) -> Module:
        m = Module()
        core = TemporalCore(self.config)
        decoder = LineDecoder(self.config)
        place(m, "core", core)
        place(m, "decoder", decoder)

        line = self.lines.payload
        vector = core.weights.payload
        columns, order = self.config.columns, self.config.line_order
        with m.Switch(line.slice):
            for number in range(self.config.line_slices):
                with m.Case(number):
                    chosen = [decoder.weights[index] for index in order[number * columns :][:columns]]
                    m.d.comb += [vector.values[column].eq(weight) for column, weight in enumerate(chosen)]
        m.d.comb += [
            decoder.line.eq(line.line),
            vector.accumulate.eq(line.accumulate),
            vector.last.eq(line.last),
            core.weights.valid.eq(self.lines.valid),
            self.lines.ready.eq(core.weights.ready),
        ]
        for name in ("activations", "partials"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(core, name))
        wiring.connect(m, core.results, wiring.flipped(self.results))
        m.d.comb += [core.early_termination.eq(self.early_termination), self.computing.eq(core.computing)]
        return m
