"""Read engine: transfers of several clients over one AXI4 read port (docs/hardware/vector-unit.md)."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.dma.burst_splitter import BurstSplitter
from fineq_hw.interface.bus import PAGE_BYTES
from fineq_hw.lib.axi import address_constants, axi_read_ports, bus_error_layout
from fineq_hw.lib.hierarchy import VerilogComponent, place
from fineq_hw.lib.machine_streams import read_word_layout, transfer_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis
from fineq_hw.lib.stream_fifo import StreamFifo


class ReadDma(VerilogComponent):
    """Reads rows of words for its channels; the next burst is that of the lowest channel that has one.

    Whoever looks far ahead and asks for much belongs on the last channel: it takes what the others leave.

    One word a cycle when memory and clients keep up. A word leaves 1 cycle after its beat on the bus; the first
    address is offered 3 cycles after its command was accepted. Words of all channels come in the order in which
    the bursts were asked for, so a client that does not take its words holds up the others: ask only for what
    there is room for.

    Once `stop` was high or the memory answered SLVERR or DECERR, the engine is stopped until reset: it offers no
    new burst (one that is offered stays until it is taken, as AXI4 demands), takes what is under way from the bus
    and throws it away. Words before the failing one may still be on offer.

    A reset makes the engine forget its commands, but not what the memory still owes: an address on offer stays on
    offer, and the bursts of before the reset are taken from the bus and thrown away before a new one is offered.
    Only `bus_rst` clears that record.

    Ports:
        commands_0 ..: transfers of each channel.
        words_0 ..: their words.
        stop: stop until reset.
        bus_rst: the memory has forgotten everything, as at power-up; only together with the reset.
        idle: nothing is under way: no command, and no burst offered or unanswered since the reset. Stopped: no such
            burst.
        pending: a burst is offered or unanswered, be it from before the reset.
        error: the first error, address of the failing beat. None after a stop.
        m_axi_ar*, m_axi_r*: the bus.

    Args:
        config: the accelerator; `outstanding_reads` bursts at most are offered or unanswered.
        channels: clients, at least 1.

    Raises:
        ValueError: `channels` is below 1.
    """

    KIND = "read_dma"
    ROLE = Role(MachineBlock.MEMORY_ACCESS, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig, channels: int = 4) -> None:
        if channels < 1:
            raise ValueError(f"channels is {channels}: a read engine has at least one client")
        self.config = config
        self.channels = channels
        super().__init__(
            {
                **{f"commands_{i}": In(stream.Signature(transfer_layout(config))) for i in range(channels)},
                **{f"words_{i}": Out(stream.Signature(read_word_layout(config))) for i in range(channels)},
                "stop": In(1),
                "bus_rst": In(1),
                "idle": Out(1),
                "pending": Out(1),
                "error": Out(bus_error_layout(config)),
                **axi_read_ports(config),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        bursts = (config.max_burst_beats, config.outstanding_reads)
        return (config.bus_bits, config.address_bits, *bursts, self.channels, *config.attribute_name)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        numbers = range(self.channels)
        address_constants(m, self, config, "m_axi_ar")
        stopped, halt = Signal(), Signal()
        m.d.comb += halt.eq(stopped | self.stop)
        m.d.sync += stopped.eq(halt)

        splitters = [BurstSplitter(config) for _ in numbers]
        for number, splitter in enumerate(splitters):
            place(m, f"splitter_{number}", splitter)
            commands = getattr(self, f"commands_{number}")
            m.d.comb += [
                splitter.commands.payload.eq(commands.payload),
                splitter.commands.valid.eq(commands.valid),
                commands.ready.eq(splitter.commands.ready),
            ]

        # Whose turn it is: the lowest channel that has a burst.
        waiting = Cat(splitter.bursts.valid for splitter in splitters)
        chosen = Signal(numbers)
        for number in reversed(numbers):
            with m.If(waiting[number]):
                m.d.comb += chosen.eq(number)

        # What the beats on their way belong to.
        ticket = data.StructLayout(
            {"channel": unsigned(max(1, len(chosen))), "address": config.address_bits, "row_last": 1, "last": 1}
        )
        tickets = StreamFifo(ticket, config.outstanding_reads)
        place(m, "tickets", tickets)
        burst = Array(splitter.bursts.payload for splitter in splitters)[chosen]
        issue, ended = Signal(), Signal()
        # What the memory owes outlives the reset: bursts without a ticket are those of before it.
        owed = Signal(range(config.outstanding_reads + 1), reset_less=True)
        orphaned = Signal()
        m.d.comb += [orphaned.eq(owed != tickets.level), self.pending.eq(owed != 0)]
        m.d.sync += owed.eq(owed + issue - ended)
        free = (~self.m_axi_arvalid | self.m_axi_arready) & ~orphaned
        m.d.comb += [
            issue.eq(waiting.any() & free & tickets.input.ready & ~halt),
            tickets.input.valid.eq(issue),
            tickets.input.payload.channel.eq(chosen),
            tickets.input.payload.address.eq(burst.address),
            tickets.input.payload.row_last.eq(burst.row_last),
            tickets.input.payload.last.eq(burst.last),
        ]
        m.d.comb += [splitter.bursts.ready.eq(issue & (chosen == number)) for number, splitter in enumerate(splitters)]
        address_valid = Signal(reset_less=True)
        address = Signal.like(self.m_axi_araddr, reset_less=True)
        length = Signal.like(self.m_axi_arlen, reset_less=True)
        m.d.comb += [
            self.m_axi_arvalid.eq(address_valid),
            self.m_axi_araddr.eq(address),
            self.m_axi_arlen.eq(length),
        ]
        with m.If(issue):
            m.d.sync += [address_valid.eq(1), address.eq(burst.address), length.eq(burst.length)]
        with m.Elif(self.m_axi_arready):
            m.d.sync += address_valid.eq(0)
        with m.If(self.bus_rst):
            m.d.sync += [address_valid.eq(0), owed.eq(0)]

        self._elaborate_words(m, tickets, stopped, halt, orphaned, ended)
        working = Cat(splitter.busy for splitter in splitters).any() | self._word_valid
        m.d.comb += self.idle.eq(~tickets.output.valid & (stopped | ~working))
        return m

    def _elaborate_words(
        self, m: Module, tickets: StreamFifo, stopped: Signal, halt: Signal, orphaned: Signal, ended: Signal
    ) -> None:
        """From the bus through one register to the channels.

        Args:
            m: this component.
            tickets: what the beats on their way belong to.
            stopped, halt: since the cycle before, and in this one.
            orphaned: the next beat belongs to a burst of before the reset.
            ended: driven: a burst has ended, whosever it was.
        """
        config = self.config
        ticket = tickets.output.payload
        word = Signal(read_word_layout(config), reset_less=True)
        channel = Signal.like(ticket.channel)
        valid, taken, beat, wrong = Signal(), Signal(), Signal(), Signal()
        self._word_valid = valid
        for number in range(self.channels):
            words = getattr(self, f"words_{number}")
            mine = valid & (channel == number)
            m.d.comb += [words.payload.eq(word), words.valid.eq(mine)]
            with m.If(mine & words.ready):
                m.d.comb += taken.eq(1)
        m.d.comb += [
            self.m_axi_rready.eq(orphaned | (tickets.output.valid & (stopped | ~valid | taken))),
            ended.eq(self.m_axi_rvalid & self.m_axi_rready & self.m_axi_rlast),
            beat.eq(self.m_axi_rvalid & self.m_axi_rready & ~orphaned),
            wrong.eq(self.m_axi_rresp[1]),
            tickets.output.ready.eq(beat & self.m_axi_rlast),
        ]
        with m.If(beat & ~halt & ~wrong):
            m.d.sync += [
                valid.eq(1),
                channel.eq(ticket.channel),
                word.data.eq(self.m_axi_rdata),
                word.row_last.eq(self.m_axi_rlast & ticket.row_last),
                word.last.eq(self.m_axi_rlast & ticket.last),
            ]
        with m.Elif(taken):
            m.d.sync += valid.eq(0)

        # A burst stays in its page, so the address of a beat differs from the burst's in the low bits only.
        page_bits = (PAGE_BYTES - 1).bit_length()
        offset, low = Signal(page_bits), Signal(page_bits)
        m.d.comb += low.eq(ticket.address[:page_bits] + offset)
        with m.If(beat):
            m.d.sync += offset.eq(Mux(self.m_axi_rlast, 0, offset + config.bus_bytes))
        with m.If(beat & wrong & ~stopped):
            m.d.sync += [
                stopped.eq(1),
                self.error.valid.eq(1),
                self.error.response.eq(self.m_axi_rresp),
                self.error.address.eq(Cat(low, ticket.address[page_bits:])),
            ]
