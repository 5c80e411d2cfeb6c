"""A frame around a core, so that a design with hundreds of ports fits an FPGA with some tens of pins."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import VerilogComponent, flat_ports, place


class ScanFrame(wiring.Component):
    """All inputs of a core come from one shift register, all its outputs go into another one.

    The frame takes a flip-flop for each input bit, and a flip-flop and a LUT for each output bit, no path that is as
    long as the core's, and nothing can be optimised away.

    Ports:
        into, out: ends of the shift registers.
        capture: take the outputs.
    """

    def __init__(self, core: VerilogComponent) -> None:
        self.core = core
        super().__init__({"into": In(1), "out": Out(1), "capture": In(1)})

    def bits(self, flow: wiring.Flow) -> int:
        """Bits of the core's inputs or outputs."""
        return sum(len(Value.cast(value)) for _, way, value in flat_ports(self.core) if way == flow)

    @property
    def flops(self) -> int:
        """Flip-flops of the frame."""
        return self.bits(In) + self.bits(Out)

    @property
    def luts(self) -> int:
        """LUTs of the frame."""
        return self.bits(Out)

    def elaborate(self, platform) -> Module:
        m = Module()
        place(m, "core", self.core)
        ports = flat_ports(self.core)
        inputs = [Value.cast(value) for _, flow, value in ports if flow == In]
        outputs = Cat(*(Value.cast(value) for _, flow, value in ports if flow == Out))
        given, taken = Signal(self.bits(In)), Signal(self.bits(Out))
        m.d.sync += [
            given.eq(Cat(given[1:], self.into)),
            taken.eq(Mux(self.capture, outputs, Cat(taken[1:], 0))),
        ]
        place_of = 0
        for value in inputs:
            m.d.comb += value.eq(given[place_of : place_of + len(value)])
            place_of += len(value)
        m.d.comb += self.out.eq(taken[0])
        return m
