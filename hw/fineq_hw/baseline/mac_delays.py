"""Delays at the edges of the MAC array: weights are skewed on entry, sums aligned on exit."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from fineq_hw.baseline.mac_row import partial_bits
from fineq_hw.config import MacConfig
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import CoreBlock, Role, Synthesis


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
