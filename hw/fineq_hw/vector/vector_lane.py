"""One lane of the vector unit: from an integer sum to a result, one a cycle (docs/hardware/vector-unit.md)."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import data
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fineq_hw.interface.jobs import (
    FRACTION_BITS,
    MAX_INT8,
    MULTIPLIER_BITS,
    RESULT_BITS,
    SHIFT_BITS,
    ActivationFunction,
    OutputFormat,
)
from fineq_hw.latencies import VECTOR_LANE_LATENCY
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.machine_streams import channel_parameters_layout, token_parameters_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis
from fineq_hw.vector.activation_functions import (
    FRACTION_IN_SEGMENT_BITS,
    GUARD_BITS,
    INDEX_BITS,
    TABLE_FUNCTIONS,
    base_bits,
    delta_bits,
    table,
)

vector_settings_layout = data.StructLayout(
    {
        "output_format": OutputFormat,
        "function": ActivationFunction,
        "requantize_multiplier": MULTIPLIER_BITS,
        "requantize_shift": SHIFT_BITS,
    }
)
"""The part of a job that the lanes look at: held still while anything is in them."""


class _Stages:
    """Registers between the stages of a pipeline that freezes as a whole."""

    def __init__(self, m: Module, enable: Value) -> None:
        self.m = m
        self.enable = enable
        self.count = 0

    def registers(self, **values: ValueLike) -> SimpleNamespace:
        """The values one stage later."""
        self.count += 1
        later = {}
        with self.m.If(self.enable):
            for name, value in values.items():
                value = Value.cast(value)
                later[name] = Signal(value.shape(), name=f"{name}_{self.count}", reset_less=True)
                self.m.d.sync += later[name].eq(value)
        return SimpleNamespace(**later)


def _multiplied(stages: _Stages, value: Value, factor: Value, /, **beside: ValueLike) -> SimpleNamespace:
    """`product` of a signed and an unsigned number, two stages later, and what travels `beside` it.

    Halves of the value first, then their sum: the carries of a whole product take longer than a clock cycle.
    """
    half = len(value) // 2
    halves = stages.registers(low=value[:half] * factor, high=value[half:].as_signed() * factor, **beside)
    product = Cat(halves.low[:half], halves.high + halves.low[half:]).as_signed()
    width = len(value) + len(factor)
    return stages.registers(product=product[:width].as_signed(), **{name: getattr(halves, name) for name in beside})


def _shift_right(m: Module, value: Value, sticky: Value, amount: Value, first: int, name: str) -> tuple[Value, Value]:
    """Arithmetic shift by the bits `amount` of a distance, the lowest of which counts 2^first.

    Returns:
        The shifted value, and `sticky` or any one bit that was shifted out.
    """
    for number in reversed(range(len(amount))):
        distance = 1 << (first + number)
        shifted = Signal(signed(len(value)), name=f"{name}_by_{distance}")
        m.d.comb += shifted.eq(Mux(amount[number], value.shift_right(distance), value))
        sticky = sticky | (amount[number] & value[: min(distance, len(value))].any())
        value = shifted
    return value, sticky


def _rounded(value: Value, sticky: Value) -> Value:
    """A shifted value, whose lowest bit is the first one after the point, to the nearest integer; ties to even."""
    integer = value[1:].as_signed()
    return integer + (value[0] & (sticky | integer[0]))


def _saturated(value: Value) -> Value:
    """The nearest 32-bit value."""
    top = value[RESULT_BITS - 1 :]
    limit = Cat((~value[-1]).replicate(RESULT_BITS - 1), value[-1])
    return Mux(top.all() | ~top.any(), value[:RESULT_BITS], limit).as_signed()


class VectorLane(VerilogComponent):
    """result = requantized(function(sum * scales + bias)), `latencies.VECTOR_LANE_LATENCY` cycles later.

    The arithmetic is that of `fineq_sim.reference.vector_unit`. Sums that are written as they are take the same way,
    with multipliers of 1, no shift, no bias and no function.

    Ports:
        sum, channel, token: of one result; shifts count modulo 64.
        settings: of the job.
        enable: the pipeline takes a step at this clock edge; otherwise everything stays.
        result: 32 bits; a requantized one is sign-extended.

    Args:
        accumulator_bits: width of a sum, at most 32.
    """

    KIND = "vector_lane"
    ROLE = Role(MachineBlock.VECTOR_PROCESSING, Synthesis.KEEP)

    def __init__(self, accumulator_bits: int) -> None:
        self.accumulator_bits = accumulator_bits
        super().__init__(
            {
                "sum": In(signed(accumulator_bits)),
                "channel": In(channel_parameters_layout),
                "token": In(token_parameters_layout),
                "settings": In(vector_settings_layout),
                "enable": In(1),
                "result": Out(signed(RESULT_BITS)),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.accumulator_bits,)

    def elaborate(self, platform) -> Module:
        m = Module()
        stages = _Stages(m, self.enable)
        biased = self._elaborate_scale(m, stages)
        activated = self._elaborate_function(m, stages, biased)
        m.d.comb += self.result.eq(self._elaborate_requantize(m, stages, activated))
        assert stages.count == VECTOR_LANE_LATENCY, f"the lane has {stages.count} stages: correct fineq_hw.latencies"
        return m

    def _elaborate_scale(self, m: Module, stages: _Stages) -> Value:
        """sum * multipliers / 2^shifts + bias: eight stages."""
        plain = self.settings.output_format == OutputFormat.SUMS
        total = Signal(range(2 << SHIFT_BITS))
        shift = Signal.like(total)
        m.d.comb += [
            total.eq(self.channel.shift[:SHIFT_BITS] + self.token.shift[:SHIFT_BITS]),
            shift.eq(Mux(plain | (total < FRACTION_BITS), 0, total - FRACTION_BITS)),
        ]
        one = _multiplied(
            stages,
            self.sum,
            Mux(plain, 1, self.channel.multiplier),
            multiplier=Mux(plain, 1, self.token.multiplier),
            shift=shift,
            bias=Mux(plain, 0, self.channel.bias).as_signed(),
        )
        two = _multiplied(stages, one.product, one.multiplier, shift=one.shift, bias=one.bias)
        # One more bit below: the first one after the point.
        value, sticky = _shift_right(m, Cat(0, two.product).as_signed(), 0, two.shift[4:], 4, "coarse")
        three = stages.registers(value=value, sticky=sticky, shift=two.shift[:4], bias=two.bias)
        value, sticky = _shift_right(m, three.value, three.sticky, three.shift, 0, "fine")
        four = stages.registers(value=value, sticky=sticky, bias=three.bias)
        five = stages.registers(scaled=_saturated(_rounded(four.value, four.sticky)), bias=four.bias)
        return stages.registers(biased=_saturated(five.scaled + five.bias)).biased

    def _elaborate_function(self, m: Module, stages: _Stages, biased: Value) -> Value:
        """relu(x) - g(|x|), see `activation_functions`: four stages."""
        function = self.settings.function
        magnitude = Signal(RESULT_BITS)  # of the most negative number too
        linear = Signal(signed(RESULT_BITS))
        use_table = Signal()
        entry = Signal(range(len(TABLE_FUNCTIONS) << INDEX_BITS))
        fraction = Signal(FRACTION_IN_SEGMENT_BITS)
        m.d.comb += [
            magnitude.eq(Mux(biased < 0, -biased, biased)),
            linear.eq(Mux((function != ActivationFunction.NONE) & (biased < 0), 0, biased)),
        ]
        contents = []
        for number, which in enumerate(TABLE_FUNCTIONS):
            segments = table(which)
            low = segments.segment_bits
            with m.If(function == which):
                m.d.comb += [
                    use_table.eq(magnitude < segments.end),
                    entry.eq(Cat(magnitude[low : low + INDEX_BITS], number)),
                    fraction.eq(magnitude[:low] << (FRACTION_IN_SEGMENT_BITS - low)),
                ]
            contents += [
                {"base": base, "delta": delta} for base, delta in zip(segments.bases, segments.deltas, strict=True)
            ]
        one = stages.registers(entry=entry, fraction=fraction, use_table=use_table, linear=linear)

        shape = data.StructLayout({"base": base_bits(), "delta": signed(delta_bits())})
        m.submodules.tables = tables = Memory(shape=shape, depth=len(contents), init=contents)
        read = tables.read_port()
        m.d.comb += [read.addr.eq(one.entry), read.en.eq(self.enable)]
        two = stages.registers(fraction=one.fraction, use_table=one.use_table, linear=one.linear)

        dropped = FRACTION_IN_SEGMENT_BITS + GUARD_BITS
        rest = Signal(signed(base_bits() + 2 - GUARD_BITS))
        total = (read.data.base << FRACTION_IN_SEGMENT_BITS) + read.data.delta * two.fraction + (1 << (dropped - 1))
        m.d.comb += rest.eq(Mux(two.use_table, total >> dropped, 0))
        three = stages.registers(rest=rest, linear=two.linear)
        difference = Signal(signed(RESULT_BITS))  # g is not larger than |x|, so it fits
        m.d.comb += difference.eq(three.linear - three.rest)
        return stages.registers(activated=difference).activated

    def _elaborate_requantize(self, m: Module, stages: _Stages, activated: Value) -> Value:
        """Multiply and shift to int8, or leave it: five stages."""
        small = self.settings.output_format == OutputFormat.INT8
        multiplier = Mux(small, self.settings.requantize_multiplier, 1)
        shift = Mux(small, self.settings.requantize_shift, 0)
        one = _multiplied(stages, activated, multiplier)
        value, sticky = _shift_right(m, Cat(0, one.product).as_signed(), 0, shift[3:], 3, "requantize_coarse")
        two = stages.registers(value=value, sticky=sticky)
        value, sticky = _shift_right(m, two.value, two.sticky, shift[:3], 0, "requantize_fine")
        three = stages.registers(value=value, sticky=sticky)
        whole = Signal(signed(len(three.value)))
        m.d.comb += whole.eq(_rounded(three.value, three.sticky))
        clamped = Mux(whole > MAX_INT8, MAX_INT8, Mux(whole < -MAX_INT8, -MAX_INT8, whole))
        return stages.registers(result=Mux(small, clamped, whole)[:RESULT_BITS].as_signed()).result
