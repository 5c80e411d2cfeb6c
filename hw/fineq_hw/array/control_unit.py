"""Control unit of the temporal-coding array: preload, vector streaming, early termination, hand-over."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import data, enum
from amaranth.lib.wiring import In, Out

from fineq.format import MAGNITUDE_BITS, MAX_MAGNITUDE
from fineq.format.temporal import MAX_CYCLES
from fineq_hw.array.encodings.registry import encoding_of
from fineq_hw.config import ArrayConfig
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


class ControlUnit(VerilogComponent):
    """Handshakes and step counting; the data itself goes past it to the array.

    Two phases alternate. *Load*: activation rows are taken one per cycle. *Compute*: weight vectors are
    taken and worked off in `fineq.format.temporal.array_cycles` steps each. The number of steps is found from
    the magnitudes while the vector is accepted, so a register and not a 64-input function decides when the
    next vector may come: it is accepted in the last step of the one before, and no cycle is lost.

    A step waits (`computing` low, nothing changes in the array) while a result is not taken, because the
    accumulators are the result register, and while a vector that accumulates lacks its partial sums.

    Ports:
        activations_valid/_ready/_last, weights_valid/_ready/_accumulate/_last, partials_valid/_ready,
        results_valid/_ready/_last: handshakes and flags of the core's streams.
        magnitudes: of the weight vector on offer, one per column.
        early_termination: 1: stop after the largest magnitude; 0: always the full length.
        load: to the array, one bit per row.
        load_weights: to the encoders.
        single_step: beside `load_weights`: the vector takes one step.
        hold, take_partial: to the accumulators. Partial sums are taken in `Encoding.partial_step`.
        computing: high in each cycle that executes a step; also the encoders' and the accumulators' enable.
    """

    KIND = "control_unit"
    ROLE = Role(CoreBlock.CONTROL, Synthesis.KEEP)

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        super().__init__(
            {
                "activations_valid": In(1),
                "activations_ready": Out(1),
                "activations_last": In(1),
                "weights_valid": In(1),
                "weights_ready": Out(1),
                "weights_accumulate": In(1),
                "weights_last": In(1),
                "partials_valid": In(1),
                "partials_ready": Out(1),
                "results_valid": Out(1),
                "results_ready": In(1),
                "results_last": Out(1),
                "magnitudes": In(data.ArrayLayout(MAGNITUDE_BITS, config.columns)),
                "early_termination": In(1),
                "load": Out(config.rows),
                "load_weights": Out(1),
                "single_step": Out(1),
                "hold": Out(1),
                "take_partial": Out(1),
                "computing": Out(1),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (f"{self.config.rows}x{self.config.columns}", self.config.encoding)

    def elaborate(self, platform) -> Module:
        m = Module()

        class Phase(enum.Enum, shape=1):  # type: ignore[call-arg]  # Amaranth reads the shape
            LOAD = 0
            COMPUTE = 1

        phase = Signal(Phase)
        self._elaborate_load(m, phase, Phase)

        busy = Signal()  # a vector is in the encoders
        accumulate = Signal()
        last = Signal()
        count = Signal(range(MAX_MAGNITUDE))
        final_count = Signal.like(count)
        cycles = self._vector_cycles(m)
        first = count == 0
        finishing = Signal()

        stalled = self.results_valid & ~self.results_ready
        takes_partial = accumulate & encoding_of(self.config).partial_step(first, count == final_count)
        lacks_partial = takes_partial & ~self.partials_valid
        m.d.comb += [
            self.computing.eq(busy & ~stalled & ~lacks_partial),
            finishing.eq(self.computing & (count == final_count)),
            self.single_step.eq(cycles == 1),
            self.hold.eq(~first),
            self.take_partial.eq(takes_partial),
            self.partials_ready.eq(busy & takes_partial & ~stalled),
            self.weights_ready.eq((phase == Phase.COMPUTE) & (~busy | (finishing & ~last))),
            self.load_weights.eq(self.weights_valid & self.weights_ready),
        ]

        with m.If(self.results_ready):
            m.d.sync += self.results_valid.eq(0)
        with m.If(finishing):
            m.d.sync += [
                busy.eq(0),
                count.eq(0),
                self.results_valid.eq(1),
                self.results_last.eq(last),
            ]
            with m.If(last):
                m.d.sync += phase.eq(Phase.LOAD)
        with m.Elif(self.computing):
            m.d.sync += count.eq(count + 1)
        with m.If(self.load_weights):
            m.d.sync += [
                busy.eq(1),
                accumulate.eq(self.weights_accumulate),
                last.eq(self.weights_last),
                final_count.eq(cycles - 1),
            ]
        return m

    def _elaborate_load(self, m: Module, phase: Signal, phases: type[enum.Enum]) -> None:
        """Preload: beat number n goes to row n."""
        row = Signal(range(self.config.rows))
        beat = Signal()
        m.d.comb += [
            self.activations_ready.eq(phase == phases.LOAD),
            beat.eq(self.activations_valid & self.activations_ready),
        ]
        m.d.comb += [self.load[number].eq(beat & (row == number)) for number in range(self.config.rows)]
        with m.If(beat):
            m.d.sync += row.eq(row + 1)
            with m.If(self.activations_last | (row == self.config.rows - 1)):
                m.d.sync += [row.eq(0), phase.eq(phases.COMPUTE)]

    def _vector_cycles(self, m: Module) -> Signal:
        """Steps for the vector on offer, as `fineq.format.temporal` has them."""
        longest = MAX_CYCLES[self.config.encoding]
        cycles = Signal(range(longest + 1))
        m.d.comb += cycles.eq(1)
        for vector in encoding_of(self.config).long_vectors(self.config, self.magnitudes):
            applies = Signal(name=vector.name)
            m.d.comb += applies.eq(vector.condition)
            with m.If(applies):
                m.d.comb += cycles.eq(vector.steps)
        with m.If(~self.early_termination):
            m.d.comb += cycles.eq(longest)
        return cycles
