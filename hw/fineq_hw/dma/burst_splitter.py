"""Cuts the transfers of a DMA engine into AXI4 bursts."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import PAGE_BYTES
from fineq_hw.lib.axi import LENGTH_BITS
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.machine_streams import transfer_layout
from fineq_hw.lib.role import PART


def burst_layout(config: AcceleratorConfig) -> data.StructLayout:
    """A burst: address, beats less one; `row_last`: ends a row of its transfer, `last`: ends the transfer."""
    return data.StructLayout(
        {"address": unsigned(config.address_bits), "length": LENGTH_BITS, "row_last": 1, "last": 1}
    )


class BurstSplitter(VerilogComponent):
    """Bursts of transfers: each ends at the end of its row, at a 4 kB boundary or at `max_burst_beats`.

    The first burst is offered 2 cycles after its command was accepted, then one a cycle, also from one command
    to the next. A command without rows or without bytes makes no burst.

    Ports:
        commands: transfers.
        bursts: see `burst_layout`; in order.
        busy: there is a burst to come or on offer.
    """

    KIND = "burst_splitter"
    ROLE = PART

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "commands": In(stream.Signature(transfer_layout(config))),
                "bursts": Out(stream.Signature(burst_layout(config))),
                "busy": Out(1),
            }
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.config.bus_bits, self.config.address_bits, self.config.max_burst_beats)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        command = self.commands.payload
        word_shift = (config.bus_bytes - 1).bit_length()
        page_words = PAGE_BYTES // config.bus_bytes
        words_shape = unsigned(Shape.cast(command.row_bytes.shape()).width - word_shift + 1)

        active = Signal()
        row_address = Signal(config.address_bits)
        row_words = Signal(words_shape)
        stride = Signal.like(command.stride)
        address = Signal(config.address_bits)
        words_left = Signal(words_shape)
        rows_left = Signal.like(command.rows)

        to_page = Signal(range(page_words + 1))
        limit = Signal(range(config.max_burst_beats + 1))
        beats = Signal.like(limit)
        row_last, last = Signal(), Signal()
        position = address[word_shift : (PAGE_BYTES - 1).bit_length()]
        m.d.comb += [
            to_page.eq(page_words - position),
            limit.eq(Mux(to_page < config.max_burst_beats, to_page, config.max_burst_beats)),
            row_last.eq(words_left <= limit),
            last.eq(row_last & (rows_left == 1)),
            beats.eq(Mux(row_last, words_left, limit)),
        ]

        offered = Signal(burst_layout(config))
        valid = Signal()
        step, free = Signal(), Signal()
        next_row = Signal(config.address_bits)
        m.d.comb += [
            free.eq(~valid | self.bursts.ready),
            step.eq(active & free),
            next_row.eq(row_address + stride),
            self.bursts.valid.eq(valid),
            self.bursts.payload.eq(offered),
            self.busy.eq(active | valid),
            self.commands.ready.eq(~active | (step & last)),
        ]
        with m.If(free):
            m.d.sync += valid.eq(active)
        with m.If(step):
            m.d.sync += [
                offered.address.eq(address),
                offered.length.eq(beats - 1),
                offered.row_last.eq(row_last),
                offered.last.eq(last),
                words_left.eq(words_left - beats),
                address.eq(address + (beats << word_shift)),
            ]
            with m.If(row_last):
                m.d.sync += [
                    rows_left.eq(rows_left - 1),
                    words_left.eq(row_words),
                    address.eq(next_row),
                    row_address.eq(next_row),
                ]
            with m.If(last):
                m.d.sync += active.eq(0)
        words = Signal(words_shape)
        m.d.comb += words.eq((command.row_bytes + (config.bus_bytes - 1)) >> word_shift)
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [
                active.eq((words != 0) & (command.rows != 0)),
                address.eq(command.address),
                row_address.eq(command.address),
                row_words.eq(words),
                words_left.eq(words),
                rows_left.eq(command.rows),
                stride.eq(command.stride),
            ]
        return m
