"""AXI4 rules of a master with one ID, and a memory that keeps its own.

The memory may answer when it likes, or within a number of cycles, with any data and any response.
"""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Mux, Signal, Value
from amaranth.lib.wiring import Component

from fineq_formal.checkers.streams import stable
from fineq_formal.setup import Setup, implies
from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import PAGE_BYTES
from fineq_hw.lib.axi import LENGTH_BITS

_ADDRESS = ("id", "addr", "len", "size", "burst", "cache", "prot")


def _check_addresses(setup: Setup, dut: Component, config: AcceleratorConfig, channel: str) -> None:
    """Rules of AR and AW."""
    address, length, valid, ready = (
        getattr(dut, f"m_axi_{channel}{name}") for name in ("addr", "len", "valid", "ready")
    )
    fields = Cat(Value.cast(getattr(dut, f"m_axi_{channel}{name}")) for name in _ADDRESS)
    shift = (config.bus_bytes - 1).bit_length()
    last = Signal(len(address) + 1, name=f"last_beat_{channel}")
    setup.m.d.comb += last.eq(address + (length << shift))
    name = channel.upper()
    setup.check(stable(setup, valid, ready, fields, channel), f"{name}: an address stays until it is taken")
    page = (PAGE_BYTES - 1).bit_length()
    setup.check(implies(valid, address[page:] == last[page:]), f"{name}: no burst crosses a 4 kB boundary")
    setup.check(implies(valid, length < config.max_burst_beats), f"{name}: no burst is longer than the configured one")
    setup.check(implies(valid, address[:shift] == 0), f"{name}: bursts begin at whole bus words")
    size, burst = (getattr(dut, f"m_axi_{channel}{name}") for name in ("size", "burst"))
    setup.check((size == shift) & (burst == 1), f"{name}: incrementing bursts of whole bus words")


def _answer_within(setup: Setup, pending: Value, answered: Value, cycles: int | None, name: str) -> None:
    """The memory lets nobody wait for longer."""
    if cycles is None:
        return
    waited = Signal(range(cycles + 2), name=f"memory_{name}")
    setup.m.d.sync += waited.eq(Mux(pending & ~answered, waited + 1, 0))
    setup.assume(waited <= cycles)


@dataclass
class ReadMemory:
    """What the memory knows.

    Attributes:
        waiting: bursts that are not answered in full.
        taken, beat: an address, a beat goes over the bus.
        address: of the beat that is due.
    """

    waiting: Signal
    taken: Value
    beat: Value
    address: Signal


def read_memory(
    setup: Setup, dut: Component, config: AcceleratorConfig, within: int | None = None, bursts: int | None = None
) -> ReadMemory:
    """Check the read channels of a block and let a memory answer.

    Args:
        setup: gets the rules.
        dut: has the ports of `fineq_hw.lib.axi.axi_read_ports`, their inputs free.
        config: of the block.
        within: the memory takes an address and gives a beat after at most so many cycles of waiting; None: any.
        bursts: most bursts that may be unanswered; default `outstanding_reads`.
    """
    m = setup.m
    depth = config.outstanding_reads if bursts is None else bursts
    _check_addresses(setup, dut, config, "ar")
    taken = dut.m_axi_arvalid & dut.m_axi_arready
    beat = dut.m_axi_rvalid & dut.m_axi_rready
    lengths = Array(Signal(LENGTH_BITS, name=f"read_length_{i}") for i in range(depth))
    addresses = Array(Signal(config.address_bits, name=f"read_address_{i}") for i in range(depth))
    waiting = Signal(range(depth + 2), name="reads_waiting")
    beats = Signal(LENGTH_BITS, name="read_beats")
    last_beat = beat & dut.m_axi_rlast
    m.d.sync += waiting.eq(waiting + taken - last_beat)
    behind = Signal(range(depth + 1), name="reads_behind")
    m.d.comb += behind.eq(waiting - last_beat)
    with m.If(last_beat):
        m.d.sync += [lengths[i].eq(lengths[i + 1]) for i in range(depth - 1)]
        m.d.sync += [addresses[i].eq(addresses[i + 1]) for i in range(depth - 1)]
    with m.If(taken):
        m.d.sync += [lengths[behind].eq(dut.m_axi_arlen), addresses[behind].eq(dut.m_axi_araddr)]
    with m.If(beat):
        m.d.sync += beats.eq(Mux(dut.m_axi_rlast, 0, beats + 1))
    # The memory: answers what it was asked, in order; what it offers stays.
    fields = Cat(dut.m_axi_rdata, Value.cast(dut.m_axi_rresp), dut.m_axi_rlast)
    setup.assume(stable(setup, dut.m_axi_rvalid, dut.m_axi_rready, fields, "r"))
    setup.assume(implies(dut.m_axi_rvalid, (waiting != 0) & (dut.m_axi_rlast == (beats == lengths[0]))))
    _answer_within(setup, dut.m_axi_arvalid, dut.m_axi_arready, within, "takes_reads")
    _answer_within(setup, waiting != 0, dut.m_axi_rvalid, within, "answers_reads")
    setup.check(waiting <= depth, "AR: no more bursts on their way than configured")
    address = Signal(config.address_bits, name="read_address")
    m.d.comb += address.eq(addresses[0] + (beats << (config.bus_bytes - 1).bit_length()))
    return ReadMemory(waiting, taken, beat, address)


@dataclass
class WriteMemory:
    """What the memory knows.

    Attributes:
        waiting: bursts whose address was offered and that are not answered.
        begun: an address is offered for the first time.
        word: a word is offered for the first time.
    """

    waiting: Signal
    begun: Value
    word: Value


def write_memory(
    setup: Setup,
    dut: Component,
    config: AcceleratorConfig,
    within: int | None = None,
    bursts: int = 8,
    in_turn: bool = False,
) -> WriteMemory:
    """Check the write channels of a block and let a memory answer.

    Args:
        setup: gets the rules.
        dut: has the ports of `fineq_hw.lib.axi.axi_write_ports`, their inputs free.
        config: of the block.
        within: the memory takes an address or a word and gives a response after at most so many cycles of waiting.
        bursts: most bursts that may be unanswered.
        in_turn: a word is only taken when the address of its burst is.
    """
    m = setup.m
    _check_addresses(setup, dut, config, "aw")
    taken = dut.m_axi_awvalid & dut.m_axi_awready
    beat = dut.m_axi_wvalid & dut.m_axi_wready
    answered = dut.m_axi_bvalid & dut.m_axi_bready
    fields = Cat(dut.m_axi_wdata, dut.m_axi_wstrb, dut.m_axi_wlast)
    setup.check(stable(setup, dut.m_axi_wvalid, dut.m_axi_wready, fields, "w"), "W: a word stays until it is taken")

    # Bursts whose address is offered and whose last word has not been: their lengths, the oldest first.
    offered = Signal(name="address_offered")  # the address on offer has been counted
    m.d.sync += offered.eq(dut.m_axi_awvalid & ~dut.m_axi_awready)
    begun = dut.m_axi_awvalid & ~offered
    word_offered = Signal(name="word_offered")
    m.d.sync += word_offered.eq(dut.m_axi_wvalid & ~dut.m_axi_wready)
    word = dut.m_axi_wvalid & ~word_offered
    lengths = Array(Signal(LENGTH_BITS, name=f"write_length_{i}") for i in range(bursts + 1))
    open_bursts = Signal(range(bursts + 2), name="writes_open")
    beats = Signal(LENGTH_BITS, name="write_beats")
    closed = Signal(name="write_closed")
    m.d.comb += closed.eq(word & dut.m_axi_wlast)
    m.d.sync += open_bursts.eq(open_bursts + begun - closed)
    behind = Signal(range(bursts + 2), name="writes_behind")
    m.d.comb += behind.eq(open_bursts - closed)
    with m.If(closed):
        m.d.sync += [lengths[i].eq(lengths[i + 1]) for i in range(bursts)]
    with m.If(begun):
        m.d.sync += lengths[behind].eq(dut.m_axi_awlen)
    with m.If(word):
        m.d.sync += beats.eq(Mux(dut.m_axi_wlast, 0, beats + 1))
    setup.check(implies(word, open_bursts != 0), "W: no word before the address of its burst is offered")
    setup.check(implies(word, dut.m_axi_wlast == (beats == lengths[0])), "W: the last word of a burst, and no other")

    # Responses: one for each burst whose address and whose last word have been taken.
    waiting = Signal(range(bursts + 2), name="writes_waiting")
    addresses = Signal(range(bursts + 2), name="addresses_unanswered")
    finished = Signal(range(bursts + 2), name="bursts_unanswered")
    last_word = beat & dut.m_axi_wlast
    m.d.sync += [
        addresses.eq(addresses + taken - answered),
        finished.eq(finished + last_word - answered),
        waiting.eq(waiting + begun - answered),
    ]
    both = (addresses != 0) & (finished != 0)
    setup.assume(stable(setup, dut.m_axi_bvalid, dut.m_axi_bready, Value.cast(dut.m_axi_bresp), "b"))
    setup.assume(implies(dut.m_axi_bvalid, both))
    if in_turn:
        setup.assume(implies(dut.m_axi_wready, (addresses > finished) | taken))
    _answer_within(setup, dut.m_axi_awvalid, dut.m_axi_awready, within, "takes_addresses")
    _answer_within(setup, dut.m_axi_wvalid, dut.m_axi_wready, within, "takes_words")
    _answer_within(setup, both, dut.m_axi_bvalid, within, "answers_writes")
    setup.check(implies(dut.m_axi_bvalid, dut.m_axi_bready), "B: a response that is due is taken at once")
    return WriteMemory(waiting, begun, word)
