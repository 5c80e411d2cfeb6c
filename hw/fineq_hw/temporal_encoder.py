"""Temporal encoder: a weight to a stream of pulses (paper Section IV-C, Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq.format import MAX_MAGNITUDE
from fineq_hw.config import ArrayConfig
from fineq_hw.layouts import weight_layout


class TemporalEncoder(wiring.Component):
    """Encoder of one column: value register, comparator with the shared counter, termination.

    The number of pulses is the magnitude: a pulse is sent while the magnitude exceeds `count`. The paper has
    one counter for all encoders; it lives in the control unit.

    Ports:
        weight, load: the weight to keep, taken at the clock edge when `load` is high.
        count: steps done so far in this weight vector.
        terminate: no pulses, whatever the value.
        pulse, sign: with sign handling `row`.
        positive, negative: with sign handling `column`, a pulse on the line that fits the sign.

    Args:
        config: only `encoding` and `sign_handling` matter.
    """

    def __init__(self, config: ArrayConfig) -> None:
        self.config = config
        outputs = ("pulse", "sign") if config.sign_handling == "row" else ("positive", "negative")
        super().__init__(
            {
                "weight": In(weight_layout),
                "load": In(1),
                "count": In(range(MAX_MAGNITUDE)),
                "terminate": In(1),
                **{name: Out(1) for name in outputs},
            }
        )

    @staticmethod
    def module_name(config: ArrayConfig) -> str:
        return f"fineq_temporal_encoder_{config.encoding}_{config.sign_handling}"

    def elaborate(self, platform) -> Module:
        m = Module()
        value = Signal(weight_layout, reset_less=True)
        with m.If(self.load):
            m.d.sync += value.eq(self.weight)
        pulse = (value.magnitude > self.count) & ~self.terminate
        if self.config.sign_handling == "row":
            m.d.comb += [self.pulse.eq(pulse), self.sign.eq(value.sign)]
        else:
            m.d.comb += [self.positive.eq(pulse & ~value.sign), self.negative.eq(pulse & value.sign)]
        return m
