"""Burst splitter: bursts as AXI4 allows them, which together are exactly the words of the transfer, in order."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal
from amaranth.utils import exact_log2

from fineq_formal.checkers.streams import check_streams
from fineq_formal.configurations import TINY
from fineq_formal.proof import Proof
from fineq_formal.setup import Setup, implies
from fineq_hw.config import ACCELERATORS, AcceleratorConfig
from fineq_hw.dma.burst_splitter import BurstSplitter
from fineq_hw.interface.bus import PAGE_BYTES
from fineq_hw.lib.machine_streams import transfer_layout


class _Rest:
    """What remains of a transfer: the address of the next word, and how many words and rows are left."""

    def __init__(self, config: AcceleratorConfig, name: str) -> None:
        transfer = transfer_layout(config).members
        address, bytes_, rows, stride = (transfer[field] for field in ("address", "row_bytes", "rows", "stride"))
        shapes = {
            "active": 1,
            "address": address,
            "row": address,
            "words": bytes_,
            "words_left": bytes_,
            "rows_left": rows,
            "stride": stride,
        }
        self.fields = {field: Signal(shape, name=f"{name}_{field}") for field, shape in shapes.items()}

    def __getitem__(self, field: str) -> Signal:
        return self.fields[field]


def _bursts(setup: Setup, config: AcceleratorConfig) -> None:
    """A burst is compared, when it is first offered, with what remains of the transfer before it."""
    m = setup.m
    dut = setup.add("dut", BurstSplitter(config))
    command, burst, valid = dut.commands.payload, dut.bursts.payload, dut.bursts.valid
    shift, page = exact_log2(config.bus_bytes), exact_log2(PAGE_BYTES)
    setup.assume(command.address[:shift] == 0)
    setup.assume(command.stride[:shift] == 0)
    check_streams(setup, dut)

    accepted = Signal()
    words = Signal(dut.commands.payload.shape().members["row_bytes"])
    follows = Signal(transfer_layout(config))
    waited = Signal()
    before, now = _Rest(config, "before"), _Rest(config, "now")
    m.d.sync += [accepted.eq(dut.commands.valid & dut.commands.ready), waited.eq(valid & ~dut.bursts.ready)]
    with m.If(dut.commands.valid & dut.commands.ready):
        m.d.sync += follows.eq(command)
    m.d.comb += words.eq((follows.row_bytes + config.bus_bytes - 1) >> shift)
    fresh = valid & ~waited
    beats = burst.length + 1
    to_page = PAGE_BYTES // config.bus_bytes - before["address"][shift:page]
    limit = Mux(to_page < config.max_burst_beats, to_page, config.max_burst_beats)
    row_last = before["words_left"] <= limit
    last = row_last & (before["rows_left"] == 1)
    m.d.sync += [before[field].eq(now[field]) for field in now.fields]
    m.d.comb += [now[field].eq(before[field]) for field in now.fields]
    with m.If(fresh):
        m.d.comb += [
            now["address"].eq(before["address"] + (beats << shift)),
            now["words_left"].eq(before["words_left"] - beats),
        ]
        with m.If(row_last):
            m.d.comb += [
                now["address"].eq(before["row"] + before["stride"]),
                now["row"].eq(before["row"] + before["stride"]),
                now["words_left"].eq(before["words"]),
                now["rows_left"].eq(before["rows_left"] - 1),
            ]
        with m.If(last):
            m.d.comb += now["active"].eq(0)
    with m.If(accepted):
        m.d.comb += [
            now["active"].eq((follows.row_bytes != 0) & (follows.rows != 0)),
            now["address"].eq(follows.address),
            now["row"].eq(follows.address),
            now["words"].eq(words),
            now["words_left"].eq(words),
            now["rows_left"].eq(follows.rows),
            now["stride"].eq(follows.stride),
        ]
    end = Signal(config.address_bits + 1)
    m.d.comb += end.eq(burst.address + (burst.length << shift))
    setup.check(implies(fresh, before["active"]), "no burst without a command")
    setup.check(implies(accepted, ~before["active"] | (fresh & last)), "a command waits for the end of the one before")
    setup.check(implies(valid, end[page:] == burst.address[page:]), "no burst crosses a 4 kB boundary")
    setup.check(implies(valid, burst.length < config.max_burst_beats), "no burst is too long")
    setup.check(implies(fresh, burst.address == before["address"]), "a burst begins where the one before ended")
    setup.check(implies(fresh, beats == Mux(row_last, before["words_left"], limit)), "a burst is as long as it can be")
    setup.check(implies(fresh, burst.row_last == row_last), "row_last marks the end of a row")
    setup.check(implies(fresh, burst.last == last), "last marks the end of the transfer")
    setup.check(dut.busy == (now["active"] | valid), "busy while there are bursts to come, and no longer")


PROOFS = (
    Proof(
        "dma/burst_splitter/cover",
        "Bursts stay in their page, are as long as allowed, and cover every row of a transfer exactly, in order",
        lambda setup: _bursts(setup, TINY),
        short=True,
    ),
    Proof(
        "dma/burst_splitter/cover-64x64",
        "The same for the splitter of the 64x64 accelerator, 128-bit bus and 40 address bits",
        lambda setup: _bursts(setup, ACCELERATORS["accelerator_64x64"]),
    ),
)
