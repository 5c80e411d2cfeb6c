"""What the word bus reaches besides memory: registers of an accelerator, streams of a core, the link itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.config import ArrayConfig
from fineq_hw.interface.link import PUSH, CoreStream
from fineq_hw.interface.registers import ADDRESS_BITS
from fineq_hw.lib.axi import axi_lite_slave_ports
from fineq_hw.lib.core_ports import core_ports, results_payload
from fineq_hw.link.word_bus import word_bus


class RegisterPort(wiring.Component):
    """Accesses as an AXI4-Lite master."""

    def __init__(self) -> None:
        ports = {name: member.flip() for name, member in axi_lite_slave_ports(ADDRESS_BITS).items()}
        super().__init__(ports | {"bus": In(word_bus)})

    def elaborate(self, platform) -> Module:
        m = Module()
        bus, asked, given = self.bus, Signal(), Signal()
        m.d.comb += [
            self.s_axil_awaddr.eq(bus.address),
            self.s_axil_araddr.eq(bus.address),
            self.s_axil_wdata.eq(bus.data),
            self.s_axil_wstrb.eq(0b1111),
            self.s_axil_arvalid.eq(bus.valid & ~bus.write & ~asked),
            self.s_axil_awvalid.eq(bus.valid & bus.write & ~asked),
            self.s_axil_wvalid.eq(bus.valid & bus.write & ~given),
            self.s_axil_rready.eq(1),
            self.s_axil_bready.eq(1),
            bus.ready.eq(self.s_axil_rvalid | self.s_axil_bvalid),
            bus.answer.eq(self.s_axil_rdata),
            bus.error.eq(Mux(bus.write, self.s_axil_bresp.any(), self.s_axil_rresp.any())),
        ]
        taken = self.s_axil_arvalid & self.s_axil_arready | self.s_axil_awvalid & self.s_axil_awready
        m.d.sync += [
            asked.eq((asked | taken) & ~bus.ready),
            given.eq((given | self.s_axil_wvalid & self.s_axil_wready) & ~bus.ready),
        ]
        return m


class CoreStreams(wiring.Component):
    """Windows onto the streams of a packed core (`fineq_hw.interface.link.CoreStream`).

    A stream that is not taken, or a result that is not there, within `patience` cycles fails the access.
    """

    def __init__(self, config: ArrayConfig, patience: int = 4096) -> None:
        self.config, self.patience = config, patience
        streams = {name: member.flip() for name, member in core_ports(config, packed=True).items()}
        super().__init__(streams | {"bus": In(word_bus)})

    def elaborate(self, platform) -> Module:
        m = Module()
        bus = self.bus
        window, push = bus.address[8:12], bus.address[7]
        assert PUSH == 1 << 7
        waited = Signal(range(self.patience + 1))
        m.d.sync += waited.eq(Mux(bus.valid & ~bus.ready, waited + 1, 0))
        over = waited == self.patience
        results, early, held = Signal(results_payload(self.config)), Signal(init=1), Signal()
        m.d.comb += [bus.ready.eq(1), bus.error.eq(1)]  # of a window that is not there
        streams = {
            CoreStream.ACTIVATIONS: self.activations,
            CoreStream.LINES: self.lines,
            CoreStream.PARTIALS: self.partials,
        }
        words = {}
        for kind, stream in streams.items():
            payload = Value.cast(stream.payload)
            words[kind] = Signal(-(-len(payload) // 32) * 32, name=f"{kind.name.lower()}_words")
            m.d.comb += payload.eq(words[kind])
        m.d.comb += self.partials.valid.eq(held)
        with m.If(held & self.partials.ready):
            m.d.sync += held.eq(0)
        with m.Switch(window):
            for kind, stream in streams.items():
                with m.Case(kind >> 8):
                    shifted = words[kind]
                    m.d.comb += [bus.error.eq(~bus.write), bus.ready.eq(1)]
                    with m.If(bus.valid & bus.write & ~push):
                        m.d.sync += shifted.eq(Cat(shifted[32:], bus.data))
                    with m.If(bus.write & push):
                        # The core takes partial sums with the line that they belong to, which comes after them.
                        taken = ~held if kind is CoreStream.PARTIALS else stream.ready
                        m.d.comb += [bus.ready.eq(taken | over), bus.error.eq(over)]
                        if kind is CoreStream.PARTIALS:
                            with m.If(bus.valid & ~held):
                                m.d.sync += held.eq(1)
                        else:
                            m.d.comb += stream.valid.eq(bus.valid & ~over)
            with m.Case(CoreStream.RESULTS >> 8):
                with m.If(push):
                    m.d.comb += [
                        self.results.ready.eq(bus.valid & ~bus.write & ~over),
                        bus.ready.eq(self.results.valid | over),
                        bus.error.eq(bus.write | over),
                        bus.answer.eq(1),
                    ]
                    with m.If(self.results.valid & self.results.ready):
                        m.d.sync += results.eq(self.results.payload)
                with m.Else():
                    whole = results.as_value()
                    padded = Cat(whole, Signal(-len(whole) % 32))
                    m.d.comb += [bus.error.eq(bus.write), bus.answer.eq(padded.word_select(bus.address[2:7], 32))]
            with m.Case(CoreStream.CONTROL >> 8):
                m.d.comb += bus.error.eq(~bus.write)
                with m.If(bus.valid & bus.write):
                    m.d.sync += early.eq(bus.data[0])
        m.d.comb += self.early_termination.eq(early)
        return m


class InfoPort(wiring.Component):
    """Words that can be read, and one that can be written.

    Args:
        values: by address: what is read, a signal or a number.
        written: address whose write raises `strobe`.
    """

    def __init__(self, values: Mapping[Any, Any], written: int) -> None:
        self.values, self.written = dict(values), written
        super().__init__({"bus": In(word_bus), "strobe": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        bus = self.bus
        m.d.comb += [bus.ready.eq(1), bus.error.eq(1)]
        with m.Switch(bus.address[:8]):
            for address, value in self.values.items():
                with m.Case(address):
                    m.d.comb += [bus.answer.eq(value), bus.error.eq(bus.write)]
            with m.Case(self.written):
                m.d.comb += [bus.error.eq(~bus.write), self.strobe.eq(bus.valid & bus.write)]
        return m
