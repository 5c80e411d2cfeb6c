"""The MAC baseline behind the streams of `TemporalCore`."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, enum

from fineq_hw.baseline.digits.array import DigitArray
from fineq_hw.baseline.mac_array import MacArray
from fineq_hw.config import MACS, MacConfig
from fineq_hw.latencies import mac_array_latency
from fineq_hw.lib.core_ports import core_ports
from fineq_hw.lib.hierarchy import VerilogComponent, place, verilog_name
from fineq_hw.lib.role import CoreBlock, Role


class MacCore(VerilogComponent):
    """`MacArray` or `DigitArray` with preload, streaming and hand-over.

    One weight vector per cycle; the result is valid `fineq_hw.latencies.result_latency` cycles after the
    vector was accepted. A result that is not taken, or partial sums that are missing when a vector that
    accumulates reaches the end, freeze the whole pipeline. New activations are taken when the last vector
    has left the elements.

    Streams: as `TemporalCore`; 8-bit weights are two's complement.
    """

    KIND = "mac_core"
    ROLE = Role(CoreBlock.CONTROL)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(core_ports(config))

    @property
    def module_name(self) -> str:
        """Its name in `MACS`, or else that of its array with a suffix."""
        named = (name for name, known in MACS.items() if known == self.config)
        array = self._array()
        return next(named, verilog_name(array.KIND, *array.module_parameters, "core"))

    def _array(self) -> MacArray | DigitArray:
        return DigitArray(self.config) if self.config.multiplier == "digits" else MacArray(self.config)

    def elaborate(self, platform) -> Module:
        m = Module()
        array = self._array()
        place(m, "array", array)

        class Phase(enum.Enum, shape=2):  # type: ignore[call-arg]  # Amaranth reads the shape
            LOAD = 0
            COMPUTE = 1
            DRAIN = 2

        # What travels beside each vector. Entry 0: just entered; entry -2: sums at the accumulators;
        # entry -1: totals at the output.
        tag = data.StructLayout({"valid": 1, "accumulate": 1, "last": 1})
        tags = [Signal(tag, name=f"tag_{i}") for i in range(mac_array_latency(self.config) + 1)]
        leaving, ending, offered = tags[-3], tags[-2], tags[-1]

        phase = Signal(Phase)
        advance = Signal()
        stalled = offered.valid & ~self.results.ready
        needs_partial = ending.valid & ending.accumulate
        accepted = self.weights.valid & self.weights.ready
        m.d.comb += [
            advance.eq(~stalled & ~(needs_partial & ~self.partials.valid)),
            self.partials.ready.eq(needs_partial & ~stalled),
            self.weights.ready.eq((phase == Phase.COMPUTE) & advance),
            self.results.valid.eq(offered.valid),
            self.results.payload.last.eq(offered.last),
            self.results.payload.sums.eq(array.sums),
            array.weights.eq(self.weights.payload.values),
            array.partials.eq(self.partials.payload),
            array.take_partial.eq(ending.accumulate),
            array.enable.eq(advance),
        ]
        with m.If(advance):
            m.d.sync += [
                tags[0].valid.eq(accepted),
                tags[0].accumulate.eq(self.weights.payload.accumulate),
                tags[0].last.eq(self.weights.payload.last),
            ]
            m.d.sync += [after.eq(before) for before, after in zip(tags, tags[1:], strict=False)]
            with m.If(accepted & self.weights.payload.last):
                m.d.sync += phase.eq(Phase.DRAIN)
            with m.If(leaving.valid & leaving.last):
                m.d.sync += phase.eq(Phase.LOAD)
        with m.Elif(self.results.ready):
            m.d.sync += offered.valid.eq(0)

        row = Signal(range(self.config.rows))
        beat = Signal()
        m.d.comb += [
            self.activations.ready.eq(phase == Phase.LOAD),
            beat.eq(self.activations.valid & self.activations.ready),
            array.activations.eq(self.activations.payload.values),
        ]
        m.d.comb += [array.load[number].eq(beat & (row == number)) for number in range(self.config.rows)]
        with m.If(beat):
            m.d.sync += row.eq(row + 1)
            with m.If(self.activations.payload.last | (row == self.config.rows - 1)):
                m.d.sync += [row.eq(0), phase.eq(Phase.COMPUTE)]
        return m
