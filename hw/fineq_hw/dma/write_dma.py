"""Write engine: transfers over one AXI4 write port (docs/vector-unit.md)."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.dma.burst_splitter import BurstSplitter
from fineq_hw.lib.axi import LENGTH_BITS, address_constants, axi_write_ports, bus_error_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.machine_streams import transfer_layout, write_word_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis
from fineq_hw.lib.stream_fifo import StreamFifo

OUTSTANDING_WRITES = 8
"""Bursts that may be without a response; as many addresses may be ahead of their data."""


class WriteDma(VerilogComponent):
    """Writes words, with their strobes, to the rows of the transfers it is told.

    One word a cycle when memory and producer keep up, from burst to burst and from transfer to transfer. The
    address of a burst is offered at least 1 cycle before its first word, without waiting for either to be taken. A
    word is offered 1 cycle after it was accepted; the first address 3 cycles after its command was accepted.

    Once `stop` was high or the memory answered SLVERR or DECERR, the engine is stopped until reset: it offers no
    new burst and takes no word. The bursts whose address was offered are finished with words without strobes,
    which write nothing. (A word that was offered before stays as it was until it is taken, as AXI4 demands.)

    Ports:
        commands: transfers.
        words: their words, rounded up to whole words per row; `row_last` is for the eye only.
        stop: stop until reset.
        idle: nothing is under way: no command, no burst without response. Stopped: no such burst.
        error: the first error, address of the failing burst.
        m_axi_aw*, m_axi_w*, m_axi_b*: the bus.
    """

    KIND = "write_dma"
    ROLE = Role(MachineBlock.MEMORY_ACCESS, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(transfer_layout(config))),
                "words": In(stream.Signature(write_word_layout(config))),
                "stop": In(1),
                "idle": Out(1),
                "error": Out(bus_error_layout(config)),
                **axi_write_ports(config),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.bus_bits, self.config.address_bits, self.config.max_burst_beats)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        address_constants(m, self, config, "m_axi_aw")
        stopped, halt = Signal(), Signal()
        m.d.comb += halt.eq(stopped | self.stop)
        m.d.sync += stopped.eq(halt)

        splitter = BurstSplitter(config)
        place(m, "splitter", splitter)
        lengths = StreamFifo(LENGTH_BITS, OUTSTANDING_WRITES)
        place(m, "lengths", lengths)
        unanswered = StreamFifo(config.address_bits, OUTSTANDING_WRITES)
        place(m, "unanswered", unanswered)

        burst = splitter.bursts.payload
        issue, address_valid = Signal(), Signal()
        m.d.comb += [
            splitter.commands.payload.eq(self.commands.payload),
            splitter.commands.valid.eq(self.commands.valid),
            self.commands.ready.eq(splitter.commands.ready),
            self.m_axi_awvalid.eq(address_valid),
            issue.eq(
                splitter.bursts.valid
                & (~address_valid | self.m_axi_awready)
                & unanswered.input.ready
                & lengths.input.ready
                & ~halt
            ),
            splitter.bursts.ready.eq(issue),
            lengths.input.valid.eq(issue),
            lengths.input.payload.eq(burst.length),
            unanswered.input.valid.eq(issue),
            unanswered.input.payload.eq(burst.address),
        ]
        with m.If(issue):
            m.d.sync += [
                address_valid.eq(1),
                self.m_axi_awaddr.eq(burst.address),
                self.m_axi_awlen.eq(burst.length),
            ]
        with m.Elif(self.m_axi_awready):
            m.d.sync += address_valid.eq(0)

        # Data: as long as the head of `lengths` says, then the next one.
        word_valid, free, load, burst_last = Signal(), Signal(), Signal(), Signal()
        beat = Signal(LENGTH_BITS)
        m.d.comb += [
            self.m_axi_wvalid.eq(word_valid),
            free.eq(lengths.output.valid & (~word_valid | self.m_axi_wready)),
            self.words.ready.eq(free & ~halt),
            load.eq(free & (self.words.valid | halt)),
            burst_last.eq(beat == lengths.output.payload),
            lengths.output.ready.eq(load & burst_last),
        ]
        with m.If(load):
            m.d.sync += [
                word_valid.eq(1),
                self.m_axi_wdata.eq(self.words.payload.data),
                self.m_axi_wstrb.eq(self.words.payload.strobe),
                self.m_axi_wlast.eq(burst_last),
                beat.eq(beat + 1),
            ]
            with m.If(burst_last):
                m.d.sync += beat.eq(0)
            with m.If(halt):
                m.d.sync += [self.m_axi_wdata.eq(0), self.m_axi_wstrb.eq(0)]
        with m.Elif(self.m_axi_wready):
            m.d.sync += word_valid.eq(0)

        m.d.comb += [
            self.m_axi_bready.eq(unanswered.output.valid),
            unanswered.output.ready.eq(self.m_axi_bvalid),
            self.idle.eq(~unanswered.output.valid & (stopped | ~splitter.busy)),
        ]
        wrong = self.m_axi_bvalid & self.m_axi_bready & self.m_axi_bresp[1]
        with m.If(wrong & ~self.error.valid):
            m.d.sync += [
                stopped.eq(1),
                self.error.valid.eq(1),
                self.error.response.eq(self.m_axi_bresp),
                self.error.address.eq(unanswered.output.payload),
            ]
        return m
