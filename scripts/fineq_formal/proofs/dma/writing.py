"""Write engine: AXI4 rules, words in order, no address before its words (gathered), a stop ends in idle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from amaranth.hdl import Cat, Mux, Signal, signed

from fineq_formal.checkers.axi import write_memory
from fineq_formal.checkers.streams import check_streams
from fineq_formal.configurations import TINY
from fineq_formal.proof import Engine, Proof
from fineq_formal.proofs.dma.transfers import settled
from fineq_formal.setup import Setup, implies
from fineq_hw.config import AcceleratorConfig
from fineq_hw.dma.write_dma import OUTSTANDING_WRITES, WriteDma

_ORDERS = {"gathered": False, "ahead": True}
_WITHIN = 1
_BURSTS = 2
"""May be unanswered where a stop is bounded: the memory answers a burst before it takes the address of the third."""


def _config(order: str, beats: int = 2) -> AcceleratorConfig:
    return replace(TINY, max_burst_beats=beats, addresses_ahead=_ORDERS[order])


def _add(setup: Setup, config: AcceleratorConfig) -> WriteDma:
    dut = setup.add_engine("dut", WriteDma(config))
    command = dut.commands.payload
    setup.assume((command.address[:3] == 0) & (command.stride[:3] == 0))
    return dut


def _rules(setup: Setup, config: AcceleratorConfig) -> None:
    m = setup.m
    dut = _add(setup, config)
    memory = write_memory(setup, dut, config, bursts=OUTSTANDING_WRITES)
    check_streams(setup, dut)
    halted = setup.latched(dut.stop | dut.error.valid, "halted")
    was_halted = setup.past(halted, "halted")
    setup.check(implies(was_halted, ~memory.begun), "AW: no new burst once stopped")
    setup.check(implies(was_halted, ~(dut.words.valid & dut.words.ready)), "no word is taken once stopped")
    setup.check(memory.waiting <= OUTSTANDING_WRITES, "AW: no more bursts without response than the engine remembers")
    setup.check(implies(dut.idle, memory.waiting == 0), "idle: no burst is without response")
    if not config.addresses_ahead:
        ahead = Signal(signed(8))  # words accepted of bursts that have not begun
        beats = dut.m_axi_awlen + 1
        accepted = dut.words.valid & dut.words.ready
        m.d.sync += ahead.eq(ahead + accepted - Mux(memory.begun, beats, 0))
        setup.check(implies(memory.begun, ahead >= beats), "AW: all words of a burst are there before its address")


def _words(setup: Setup, config: AcceleratorConfig) -> None:
    """Some word, whichever, is marked as it goes in; so many words later it must come out, with its strobes."""
    m = setup.m
    dut = _add(setup, config)
    memory = write_memory(setup, dut, config, bursts=OUTSTANDING_WRITES)
    mark = setup.free("mark")
    accepted = dut.words.valid & dut.words.ready
    held, ahead = Signal(8), Signal(8)
    marked = Signal()
    word = Signal(config.bus_bits + config.bus_bytes)
    halted = setup.past(setup.latched(dut.stop | dut.error.valid, "halted"), "halted")
    m.d.sync += held.eq(held + accepted - memory.word)
    with m.If(accepted & mark & ~marked):
        payload = Cat(dut.words.payload.data, dut.words.payload.strobe)
        m.d.sync += [marked.eq(1), ahead.eq(held - memory.word), word.eq(payload)]
    with m.Elif(marked & memory.word):
        m.d.sync += [ahead.eq(ahead - 1), marked.eq(ahead != 0)]
    out = Cat(dut.m_axi_wdata, dut.m_axi_wstrb)
    due = marked & memory.word & (ahead == 0)
    if config.addresses_ahead:
        setup.check(implies(due & ~halted, out == word), "words come out in order, with their strobes")
        setup.check(
            implies(memory.word & setup.past(halted, "halted_w"), dut.m_axi_wstrb == 0), "stopped, nothing is written"
        )
    else:
        setup.check(implies(due, out == word), "words come out in order, with their strobes")
    setup.check(implies(memory.word & ~halted, held != 0), "no word but those that came")


def _stop(setup: Setup, config: AcceleratorConfig) -> None:
    dut = _add(setup, config)
    memory = write_memory(setup, dut, config, within=_WITHIN, bursts=OUTSTANDING_WRITES)
    setup.assume(memory.waiting <= _BURSTS)
    halted = setup.latched(dut.stop, "stop")
    ended = settled(setup, halted, _stop_cycles(config), "stopped")
    setup.check(implies(ended, dut.idle), "a stop ends in idle")
    setup.check(
        implies(ended, (memory.waiting == 0) & ~dut.m_axi_awvalid & ~dut.m_axi_wvalid), "nothing is under way then"
    )


def _stop_cycles(config: AcceleratorConfig) -> int:
    """Address, words and response of every burst that may be under way, and the registers around them."""
    return (_BURSTS * (config.max_burst_beats + 2)) * (_WITHIN + 1) + 4


def _proof(what: str, order: str, claim: str, build: Callable[[Setup, AcceleratorConfig], None], depth: int) -> Proof:
    config = _config(order, 1 if what == "stop" else 2)
    return Proof(
        f"dma/write_dma/{what}-{order}",
        claim,
        lambda setup: build(setup, config),
        Engine("bounded", depth),
        short=what == "rules" and not config.addresses_ahead,
    )


PROOFS = tuple(
    proof
    for order in _ORDERS
    for proof in (
        _proof(
            "rules",
            order,
            "AXI4 rules on AW, W and B; nothing new once stopped; idle means idle"
            + ("" if _ORDERS[order] else "; an address is offered when all words of its burst are there"),
            _rules,
            14,
        ),
        _proof(
            "words",
            order,
            "Words go out once, in order, with their strobes"
            + ("; once stopped, words that fill up a burst write nothing" if _ORDERS[order] else ""),
            _words,
            13,
        ),
        _proof(
            "stop",
            order,
            f"A stop ends in idle within {_stop_cycles(_config(order, 1))} cycles, if the memory lets nobody wait for "
            f"more than {_WITHIN}: {_BURSTS} bursts of one word at most",
            _stop,
            22,
        ),
    )
)
