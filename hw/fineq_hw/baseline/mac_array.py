"""The baseline: a systolic array of multipliers with the streams of `TemporalCore` (paper Table III, first row).

It is meant to be as good as such an array gets: stationary activations, partial sums no wider than their
column needs, sign-magnitude weights converted once per column, no register that the dataflow does not ask for.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.cells.activation_storage import incoming_row, row_load, storage_suffix, store
from fineq_hw.config import MacConfig
from fineq_hw.lib.core_ports import activation_vector_layout, sums_layout, weight_vector_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


def partial_bits(config: MacConfig, columns: int) -> int:
    """Width of a signed sum of `columns` products."""
    return (columns * config.max_product_magnitude).bit_length() + 1


def row_parameters(config: MacConfig) -> str:
    """The parameters that a row depends on, for module names."""
    suffix = storage_suffix(config)
    return f"{config.activation_bits}x{config.weight_bits}_{config.columns}_{config.weight_path}{suffix}"


def array_parameters(config: MacConfig) -> tuple[object, ...]:
    """The parameters that a whole array depends on, for module names."""
    return (f"{config.rows}x{row_parameters(config)}", config.accumulator_bits)


class MacProcessingElement(VerilogComponent):
    """partial_out = partial_in + activation x weight, registered.

    Args:
        config: the array.
        column: position in the row; fixes the widths of the partial sums. Column 0 has no `partial_in`.

    Ports:
        activation, load: the stationary activation, taken when `load` is high (see `activation_storage`).
        weight: from the element above (`systolic`, registered here) or the column's wire (`broadcast`).
        weight_out (`systolic` only): the registered weight, to the element below.
        enable: advance; otherwise everything but the activation stays.
    """

    KIND = "mac_element"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.UNIT)

    def __init__(self, config: MacConfig, column: int) -> None:
        self.config = config
        self.column = column
        ports = {
            "activation": In(signed(config.activation_bits)),
            "load": In(1),
            "weight": In(signed(config.weight_bits)),
            "enable": In(1),
            "partial_out": Out(signed(partial_bits(config, column + 1))),
        }
        if column > 0:
            ports["partial_in"] = In(signed(partial_bits(config, column)))
        if config.weight_path == "systolic":
            ports["weight_out"] = Out(signed(config.weight_bits))
        super().__init__(ports)

    @property
    def module_parameters(self) -> tuple[object, ...]:
        """Elements with the same widths are the same circuit."""
        config = self.config
        before = partial_bits(config, self.column) if self.column else 0
        after = partial_bits(config, self.column + 1)
        kind = f"{config.activation_bits}x{config.weight_bits}"
        return (kind, before, after, f"{config.weight_path}{storage_suffix(config)}")

    def elaborate(self, platform) -> Module:
        m = Module()
        activation = store(m, self.config, self.activation, self.load, "stationary")
        total = Signal.like(self.partial_out, reset_less=True)
        weight = self.weight
        if self.config.weight_path == "systolic":
            weight = Signal(signed(self.config.weight_bits), reset_less=True)
            with m.If(self.enable):
                m.d.sync += weight.eq(self.weight)
            m.d.comb += self.weight_out.eq(weight)
        product = activation * weight
        with m.If(self.enable):
            m.d.sync += total.eq(product + self.partial_in if self.column else product)
        m.d.comb += self.partial_out.eq(total)
        return m


class MacRow(VerilogComponent):
    """A row of elements: weights enter from above and leave below, the sum leaves on the right."""

    KIND = "mac_row"
    ROLE = Role(CoreBlock.PROCESSING_ELEMENTS, Synthesis.KEEP, by_sweeping=True, repeated=True)

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        weights = data.ArrayLayout(signed(config.weight_bits), config.columns)
        super().__init__(
            {
                "activations": In(activation_vector_layout(config)),
                "load": In(1),
                "weights": In(weights),
                **({"weights_out": Out(weights)} if config.weight_path == "systolic" else {}),
                "enable": In(1),
                "sum": Out(signed(partial_bits(config, config.columns))),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (row_parameters(self.config),)

    def elaborate(self, platform) -> Module:
        m = Module()
        load = row_load(m, self.config, self.load)
        partial = None
        for column in range(self.config.columns):
            element = MacProcessingElement(self.config, column)
            place(m, f"element_{column}", element)
            m.d.comb += [
                element.activation.eq(self.activations[column]),
                element.load.eq(load),
                element.weight.eq(self.weights[column]),
                element.enable.eq(self.enable),
            ]
            if partial is not None:
                m.d.comb += element.partial_in.eq(partial)
            if self.config.weight_path == "systolic":
                m.d.comb += self.weights_out[column].eq(element.weight_out)
            partial = element.partial_out
        m.d.comb += self.sum.eq(partial)
        return m


class DelayTriangle(VerilogComponent):
    """Delays lane i by `delays[i]` enabled cycles: skews the weights on entry, aligns the sums on exit."""

    KIND = "mac_delays"
    ROLE = Role(CoreBlock.SKEW_AND_ALIGNMENT, Synthesis.KEEP, by_sweeping=True)

    def __init__(self, bits: int, delays: Sequence[int]) -> None:
        self.delays = tuple(delays)
        lanes = data.ArrayLayout(signed(bits), len(delays))
        super().__init__({"lanes_in": In(lanes), "lanes_out": Out(lanes), "enable": In(1)})

    @property
    def clocked(self) -> bool:
        return any(self.delays)

    def elaborate(self, platform) -> Module:
        m = Module()
        for lane, delay in enumerate(self.delays):
            value = self.lanes_in[lane]
            if delay:
                bits = len(value)
                stages = Signal(bits * delay, name=f"lane_{lane}", reset_less=True)
                with m.If(self.enable):
                    m.d.sync += stages.eq(Cat(value, stages))
                value = stages[-bits:]
            m.d.comb += self.lanes_out[lane].eq(value)
        return m


class WeightSkew(DelayTriangle):
    """Delays of the weights; a systolic element has its own weight register, a broadcast column needs one in front."""

    KIND = "mac_skew"

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        first = 0 if config.weight_path == "systolic" else 1
        super().__init__(config.weight_bits, range(first, first + config.columns))

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.weight_bits, self.config.columns, self.config.weight_path)


class SumAlignment(DelayTriangle):
    """Delays of the sums of a systolic array, whose rows end one after the other."""

    KIND = "mac_align"

    def __init__(self, config: MacConfig) -> None:
        self.config = config
        super().__init__(partial_bits(config, config.columns), range(config.rows)[::-1])

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (partial_bits(self.config, self.config.columns), self.config.rows)


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
