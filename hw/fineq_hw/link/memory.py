"""Memory of the FPGA with an AXI4 port for an accelerator and a way in for the link."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import Response
from fineq_hw.lib.axi import LENGTH_BITS, axi_master_ports
from fineq_hw.link.word_bus import word_bus


class LinkMemory(wiring.Component):
    """Block RAM of bus words from address 0 on; one burst at a time, reads and writes in turn, the link in between.

    Args:
        config: of the accelerator.
        size: bytes, a power of two.
        init: bus words at the start.

    Ports:
        m_axi_*: of the accelerator, seen from it.
        bus: of the link; an address beyond the memory fails.
    """

    def __init__(self, config: AcceleratorConfig, size: int, init: Sequence[int] = ()) -> None:
        if size.bit_count() != 1 or size < 1024:
            raise ValueError(f"memory has {size} bytes: it must be a power of two, at least 1024")
        self.config, self.size, self.init = config, size, list(init)
        ports = {name: member.flip() for name, member in axi_master_ports(config).items()}
        super().__init__(ports | {"bus": In(word_bus)})

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        depth = self.size // config.bus_bytes
        m.submodules.memory = memory = Memory(shape=config.bus_bits, depth=depth, init=self.init)
        read, write = memory.read_port(domain="sync"), memory.write_port(granularity=8)
        shift = config.bus_bytes.bit_length() - 1
        word, left = Signal(config.address_bits - shift), Signal(LENGTH_BITS)
        outside = word[depth.bit_length() - 1 :].any()
        failed, turn = Signal(), Signal()
        m.d.comb += [
            read.addr.eq(word),
            write.addr.eq(word),
            write.data.eq(self.m_axi_wdata),
            self.m_axi_rdata.eq(read.data),
            self.m_axi_rresp.eq(Mux(failed, Response.DECERR, Response.OKAY)),
            self.m_axi_bresp.eq(Mux(failed, Response.DECERR, Response.OKAY)),
            self.m_axi_rlast.eq(left == 0),
        ]
        lane = self.bus.address[2:shift]
        with m.FSM():
            with m.State("IDLE"):
                link = self.bus.valid & ~(self.m_axi_arvalid | self.m_axi_awvalid)
                reads = self.m_axi_arvalid & (turn | ~self.m_axi_awvalid)
                m.d.sync += failed.eq(0)
                m.d.comb += [self.m_axi_arready.eq(reads), self.m_axi_awready.eq(~reads & self.m_axi_awvalid)]
                with m.If(reads):
                    m.d.sync += [word.eq(self.m_axi_araddr >> shift), left.eq(self.m_axi_arlen), turn.eq(0)]
                    m.next = "READ"
                with m.Elif(self.m_axi_awvalid):
                    m.d.sync += [word.eq(self.m_axi_awaddr >> shift), turn.eq(1)]
                    m.next = "WRITE"
                with m.Elif(link):
                    m.d.sync += turn.eq(~turn)
                    m.d.comb += [read.addr.eq(self.bus.address[shift:]), write.addr.eq(self.bus.address[shift:])]
                    m.d.comb += write.data.eq(self.bus.data.replicate(config.bus_bits // 32))
                    with m.If(self.bus.write & ~self._beyond):
                        m.d.comb += write.en.eq(0b1111 << (4 * lane))
                    m.next = "LINK"
            with m.State("LINK"):
                m.d.comb += [
                    self.bus.ready.eq(1),
                    self.bus.error.eq(self._beyond),
                    self.bus.answer.eq(read.data.word_select(lane, 32)),
                ]
                m.next = "IDLE"
            with m.State("READ"):  # the word is there after a cycle
                m.d.sync += failed.eq(outside)
                m.next = "WORD"
            with m.State("WORD"):
                m.d.comb += self.m_axi_rvalid.eq(1)
                with m.If(self.m_axi_rready):
                    m.d.sync += [word.eq(word + 1), left.eq(left - 1)]
                    m.next = "READ"
                    with m.If(left == 0):
                        m.next = "IDLE"
            with m.State("WRITE"):
                m.d.comb += self.m_axi_wready.eq(1)
                with m.If(self.m_axi_wvalid):
                    m.d.comb += write.en.eq(Mux(outside, 0, self.m_axi_wstrb))
                    m.d.sync += [word.eq(word + 1), failed.eq(failed | outside)]
                    with m.If(self.m_axi_wlast):
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.m_axi_bvalid.eq(1)
                with m.If(self.m_axi_bready):
                    m.next = "IDLE"
        return m

    @property
    def _beyond(self):
        return Cat(self.bus.address[self.size.bit_length() - 1 :]).any()
