"""Write engine: transfers over one AXI4 write port (docs/hardware/vector-unit.md)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.dma.burst_splitter import BurstSplitter
from fineq_hw.lib.axi import LENGTH_BITS, address_constants, axi_write_ports, bus_error_layout
from fineq_hw.lib.block_fifo import BlockFifo
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.machine_streams import transfer_layout, write_word_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis
from fineq_hw.lib.stream_fifo import StreamFifo

OUTSTANDING_WRITES = 8
"""Bursts that may be without a response."""


def gather_depth(config: AcceleratorConfig) -> int:
    """Words of the queue that gathers bursts.

    Room for one burst on the bus and one that is gathered meanwhile, and for the two cycles through the queue.
    """
    return 2 * config.max_burst_beats + 2


def _word_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A word on the bus."""
    return data.StructLayout({"data": config.bus_bits, "strobe": config.bus_bytes})


class WriteDma(VerilogComponent):
    """Writes words, with their strobes, to the rows of the transfers it is told.

    One word a cycle when memory and producer keep up, from burst to burst and from transfer to transfer. The
    address of a burst is offered at least 1 cycle before its first word, without waiting for either to be taken.

    A burst is gathered first: its address is offered once all its words have been accepted, so a burst that the
    memory has seen never waits for anything but the memory. Shared memory ports and bridges rely on that: they
    serve nothing else until the burst has ended. The first word of a burst is offered 3 cycles after its last one
    was accepted. With `addresses_ahead` in the configuration nothing is gathered: up to `OUTSTANDING_WRITES`
    addresses go out before their words, the first 3 cycles after its command was accepted, and a word is offered
    1 cycle after it was accepted.

    Once `stop` was high or the memory answered SLVERR or DECERR, the engine is stopped until reset: it offers no
    new burst and takes no word. The bursts whose address was offered are finished: with their own words if they
    were gathered (words of later bursts are dropped), else with words without strobes, which write nothing. (A
    word that was offered before stays as it was until it is taken, as AXI4 demands.)

    A reset makes the engine forget its commands and words, but not what it owes the memory: what is on offer stays
    so, bursts of before the reset are filled up with words without strobes, and their answers are awaited before a
    new address is offered. Only `bus_rst` clears that record.

    Ports:
        commands: transfers.
        words: their words, rounded up to whole words per row; `row_last` is for the eye only.
        stop: stop until reset.
        bus_rst: the memory has forgotten everything, as at power-up; only together with the reset.
        idle: nothing is under way: no command, no burst without response since the reset. Stopped: no such burst.
        pending: a burst is offered or unanswered, be it from before the reset.
        waiting: the memory is on turn: to take what is offered, or to answer.
        error: the first error, address of the failing burst. None after a stop.
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
                "bus_rst": In(1),
                "idle": Out(1),
                "pending": Out(1),
                "waiting": Out(1),
                "error": Out(bus_error_layout(config)),
                **axi_write_ports(config),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        order = ("ahead",) if config.addresses_ahead else ()
        return (config.bus_bits, config.address_bits, config.max_burst_beats, *order, *config.attribute_name)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        address_constants(m, self, config, "m_axi_aw")
        stopped, halt = Signal(), Signal()
        m.d.comb += halt.eq(stopped | self.stop)
        m.d.sync += stopped.eq(halt)

        splitter = BurstSplitter(config)
        place(m, "splitter", splitter)
        lengths = StreamFifo(LENGTH_BITS, OUTSTANDING_WRITES, outlives_reset=True)
        place(m, "lengths", lengths)
        unanswered = StreamFifo(config.address_bits, OUTSTANDING_WRITES)
        place(m, "unanswered", unanswered)

        burst = splitter.bursts.payload
        issue, gathered = Signal(), Signal()
        # What is owed to the memory outlives the reset: bursts without an address here are those of before it.
        address_valid, address = Signal(reset_less=True), Signal.like(self.m_axi_awaddr, reset_less=True)
        length = Signal.like(self.m_axi_awlen, reset_less=True)
        owed = Signal(range(OUTSTANDING_WRITES + 1), reset_less=True)
        orphaned, answered = Signal(), Signal()
        m.d.comb += [
            orphaned.eq(owed != unanswered.level),
            answered.eq(self.m_axi_bvalid & self.m_axi_bready),
            self.pending.eq(owed != 0),
            self.m_axi_awaddr.eq(address),
            self.m_axi_awlen.eq(length),
            lengths.clear.eq(self.bus_rst),
        ]
        m.d.sync += owed.eq(owed + issue - answered)
        words, void = self._gathered_words(m, halt, orphaned, issue, burst.length, gathered)
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
                & gathered
                & ~orphaned
                & ~halt
            ),
            splitter.bursts.ready.eq(issue),
            lengths.input.valid.eq(issue),
            lengths.input.payload.eq(burst.length),
            unanswered.input.valid.eq(issue),
            unanswered.input.payload.eq(burst.address),
        ]
        with m.If(issue):
            m.d.sync += [address_valid.eq(1), address.eq(burst.address), length.eq(burst.length)]
        with m.Elif(self.m_axi_awready):
            m.d.sync += address_valid.eq(0)

        # Data: as long as the head of `lengths` says, then the next one.
        free, load, burst_last = Signal(), Signal(), Signal()
        word_valid, word = Signal(reset_less=True), Signal(_word_layout(config), reset_less=True)
        word_last = Signal(reset_less=True)
        beat = Signal(LENGTH_BITS, reset_less=True)
        m.d.comb += [
            self.m_axi_wvalid.eq(word_valid),
            self.m_axi_wdata.eq(word.data),
            self.m_axi_wstrb.eq(word.strobe),
            self.m_axi_wlast.eq(word_last),
            free.eq(lengths.output.valid & (~word_valid | self.m_axi_wready)),
            words.ready.eq(free),
            load.eq(free & words.valid),
            burst_last.eq(beat == lengths.output.payload),
            lengths.output.ready.eq(load & burst_last),
        ]
        with m.If(load):
            m.d.sync += [
                word_valid.eq(1),
                word.data.eq(words.payload.data),
                word.strobe.eq(Mux(void, 0, words.payload.strobe)),
                word_last.eq(burst_last),
                beat.eq(beat + 1),
            ]
            with m.If(burst_last):
                m.d.sync += beat.eq(0)
        with m.Elif(self.m_axi_wready):
            m.d.sync += word_valid.eq(0)
        with m.If(self.bus_rst):
            m.d.sync += [address_valid.eq(0), word_valid.eq(0), beat.eq(0), owed.eq(0)]

        m.d.comb += [
            self.m_axi_bready.eq(owed != 0),
            unanswered.output.ready.eq(answered & ~orphaned),
            self.idle.eq(~unanswered.output.valid & (stopped | ~splitter.busy)),
            self.waiting.eq(address_valid | word_valid | (self.pending & ~lengths.output.valid)),
        ]
        wrong = answered & ~orphaned & self.m_axi_bresp[1]
        with m.If(wrong & ~stopped):
            m.d.sync += [
                stopped.eq(1),
                self.error.valid.eq(1),
                self.error.response.eq(self.m_axi_bresp),
                self.error.address.eq(unanswered.output.payload),
            ]
        return m

    def _gathered_words(
        self, m: Module, halt: Value, orphaned: Value, issue: Value, length: Value, gathered: Value
    ) -> tuple[stream.Interface, Value]:
        """Words for the bus, and whether their strobes are void because their own words are lost.

        Args:
            m: this component.
            halt: no word is taken from outside any more.
            orphaned: words without strobes are needed, for bursts whose own words are lost.
            issue: the next burst is begun.
            length: its words less one.
            gathered: driven: its words have been accepted.
        """
        config = self.config
        layout = _word_layout(config)
        words = stream.Signature(layout).create()
        outside = self.words.payload
        if config.addresses_ahead:
            # Stopped: words without strobes end the bursts whose addresses are out.
            m.d.comb += [
                gathered.eq(1),
                words.valid.eq(self.words.valid | halt | orphaned),
                words.payload.data.eq(outside.data),
                words.payload.strobe.eq(outside.strobe),
                self.words.ready.eq(words.ready & ~halt & ~orphaned),
            ]
            return words, halt | orphaned
        depth = gather_depth(config)
        queue = BlockFifo(layout, depth)
        place(m, "queue", queue)
        unclaimed = Signal(range(depth + 2))
        accepted = self.words.valid & self.words.ready
        m.d.comb += [
            queue.input.valid.eq(self.words.valid & ~halt),
            queue.input.payload.data.eq(outside.data),
            queue.input.payload.strobe.eq(outside.strobe),
            self.words.ready.eq(queue.input.ready & ~halt),
            gathered.eq(unclaimed > length),
        ]
        m.d.sync += unclaimed.eq(unclaimed + accepted - Mux(issue, length + 1, 0))
        m.d.comb += [
            words.valid.eq(queue.output.valid | orphaned),
            words.payload.eq(queue.output.payload),
            queue.output.ready.eq(words.ready & ~orphaned),
        ]
        return words, orphaned
