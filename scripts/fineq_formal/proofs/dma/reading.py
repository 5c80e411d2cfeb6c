"""Read engine: AXI4 rules, every client gets its words, a stop ends in idle."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Signal

from fineq_formal.checkers.axi import read_memory
from fineq_formal.checkers.streams import check_streams
from fineq_formal.configurations import TINY
from fineq_formal.proof import Engine, Proof
from fineq_formal.proofs.dma.transfers import WordWalk, settled
from fineq_formal.setup import Setup, implies
from fineq_hw.dma.read_dma import ReadDma
from fineq_hw.interface.bus import Response

_CONFIG = replace(TINY, max_burst_beats=2)
_CHANNELS = 2
_WITHIN = 1
_STOP_CYCLES = (_CONFIG.outstanding_reads * _CONFIG.max_burst_beats + 1) * (_WITHIN + 1) + 2
"""An address and every beat of every burst that may be under way, and the registers around them."""


def _rules(setup: Setup) -> None:
    dut = setup.add_engine("dut", ReadDma(_CONFIG, _CHANNELS))
    for number in range(_CHANNELS):
        command = getattr(dut, f"commands_{number}").payload
        setup.assume((command.address[:3] == 0) & (command.stride[:3] == 0))
    memory = read_memory(setup, dut, _CONFIG)
    check_streams(setup, dut)
    halted = setup.latched(dut.stop | dut.error.valid, "halted")
    was_offered = setup.past(dut.m_axi_arvalid & ~dut.m_axi_arready, "offered")
    was_halted = setup.past(halted, "halted")
    setup.check(implies(was_halted & dut.m_axi_arvalid, was_offered), "AR: no new burst once stopped")
    setup.check(implies(dut.idle, (memory.waiting == 0) & ~dut.m_axi_arvalid), "idle: no burst is under way")
    setup.check(
        implies(dut.m_axi_rvalid & halted, dut.m_axi_rready | ~setup.past(halted, "halted_r")),
        "R: stopped, beats are taken",
    )


def _words(setup: Setup) -> None:
    """Memory holds addresses, so a client sees where its words come from."""
    dut = setup.add_engine("dut", ReadDma(_CONFIG, _CHANNELS))
    memory = read_memory(setup, dut, _CONFIG)
    setup.assume(~dut.stop & (dut.m_axi_rresp == Response.OKAY))
    setup.assume(implies(dut.m_axi_rvalid, dut.m_axi_rdata == memory.address))
    for number in range(_CHANNELS):
        commands, words = getattr(dut, f"commands_{number}"), getattr(dut, f"words_{number}")
        walk = WordWalk(setup, _CONFIG, commands, words.valid & words.ready, f"channel_{number}")
        setup.check(implies(words.valid, walk.active), f"words_{number}: none but those asked for")
        setup.check(implies(words.valid, words.payload.data == walk.address), f"words_{number}: each from its address")
        setup.check(implies(words.valid, words.payload.row_last == walk.row_last), f"words_{number}: row_last")
        setup.check(implies(words.valid, words.payload.last == walk.last), f"words_{number}: last")
        setup.check(~(dut.idle & walk.active), f"words_{number}: not idle before they have been")


def _stop(setup: Setup) -> None:
    dut = setup.add_engine("dut", ReadDma(_CONFIG, 1))
    setup.assume((dut.commands_0.payload.address[:3] == 0) & (dut.commands_0.payload.stride[:3] == 0))
    memory = read_memory(setup, dut, _CONFIG, within=_WITHIN)
    halted = setup.latched(dut.stop, "stop")
    ended = settled(setup, halted, _STOP_CYCLES, "stopped")
    setup.check(implies(ended, dut.idle), "a stop ends in idle")
    setup.check(implies(ended, (memory.waiting == 0) & ~dut.m_axi_arvalid), "nothing is under way then")


def _errors(setup: Setup) -> None:
    """The first error is kept, with the address of its beat, and no beat from it on is passed on."""
    m = setup.m
    dut = setup.add_engine("dut", ReadDma(_CONFIG, 1))
    setup.assume((dut.commands_0.payload.address[:3] == 0) & (dut.commands_0.payload.stride[:3] == 0))
    memory = read_memory(setup, dut, _CONFIG)
    setup.assume(~dut.stop)
    failed, response = Signal(), Signal(2)
    address = Signal(_CONFIG.address_bits)
    held = Signal(2)  # words that came before the failing one and have not been taken
    good = memory.beat & ~failed & ~dut.m_axi_rresp[1]
    m.d.sync += held.eq(held + good - (dut.words_0.valid & dut.words_0.ready))
    with m.If(memory.beat & dut.m_axi_rresp[1] & ~failed):
        m.d.sync += [failed.eq(1), response.eq(dut.m_axi_rresp), address.eq(memory.address)]
    setup.check(dut.error.valid == failed, "an error is reported, and only an error")
    setup.check(implies(failed, dut.error.response == response), "the first response is kept")
    setup.check(implies(failed, dut.error.address == address), "the address is that of the failing beat")
    setup.check(dut.words_0.valid == (held != 0), "no word but those before the failing one")


PROOFS = (
    Proof(
        "dma/read_dma/rules",
        "AXI4 rules on AR and R; nothing new once stopped; idle means idle",
        _rules,
        Engine("bounded", 30),
        short=True,
    ),
    Proof(
        "dma/read_dma/words",
        "Two clients of the read engine get exactly the words of their transfers, in order, with their marks",
        _words,
        Engine("bounded", 9),
    ),
    Proof(
        "dma/read_dma/stop",
        f"A stop ends in idle within {_STOP_CYCLES} cycles, if the memory lets nobody wait for more than {_WITHIN}: "
        f"{_CONFIG.outstanding_reads} bursts of {_CONFIG.max_burst_beats} words at most",
        _stop,
        Engine("bounded", 30),
    ),
    Proof(
        "dma/read_dma/errors",
        "The read engine reports the first error with the address of its beat, and passes no word on from there",
        _errors,
        Engine("bounded", 20),
    ),
)
