"""Write engine: random transfers and strobes, protocol, rate, bus errors, stop in the middle; never a wrong byte."""

from __future__ import annotations

import cocotb

from fineq_hw.config import ALIGNMENT, TRANSFER_ROW_BITS
from fineq_hw.dma.write_dma import OUTSTANDING_WRITES
from fineq_hw.interface.bus import PAGE_BYTES, Response
from fineq_hw.interface.jobs import SIZE_BITS, STRIDE_BITS
from fineq_hw.lib.machine_streams import write_word_layout
from fineq_sim.bench.axi_memory import ChannelMonitor, Memory, Transfer, write_memory
from fineq_sim.bench.dma_bench import DmaBench
from fineq_sim.reference.bits import join

MEMORY_BYTES = 1 << 15


class WriteDmaBench(DmaBench):
    """The engine between a producer and a memory."""

    def __init__(self, dut, stall: float = 0.0, response: Response = Response.SLVERR) -> None:
        memory = Memory(MEMORY_BYTES, "write")
        super().__init__(dut, stall, f"words {stall}", memory, ("aw", "w"), ("data", "strb", "last"))
        memory.answer = response
        self.slave = write_memory(dut, memory, stall)
        self.commands, self.words = self.producer("commands"), self.producer("words")
        self.expected = bytearray(memory.bytes)
        """What the memory must hold at the end."""
        self.writes: list[tuple[int, int, int]] = []
        """Address, data and strobes of every word that was sent."""
        self.bursts: list[tuple[int, int]] = []
        """Address and beats of the bursts that the transfers must become."""
        self.gathers = not self.config.addresses_ahead
        """Whether addresses have to wait for their words; not checked after a reset, which the counts do not know."""
        self.ahead = 0
        """Most bursts whose address was taken before their last word."""
        self._counted = self._ended = self._position = self._answered = 0

    async def begin(self) -> None:
        await super().begin()
        self.answers = ChannelMonitor(self.dut, "b", ("resp",))
        self.every_cycle(self._watch)

    def _watch(self) -> None:
        """No word before the address of its burst, `last` where the burst ends, not too many bursts, `idle` true."""
        if self.gathers:
            begun = sum(beats for _, beats in self.bursts[: self.addresses.offers])
            assert self.words.beats >= begun, "an address before the words of its burst"
        for beat in self.beats.beats[self._counted :]:
            assert self._ended < self.addresses.offers, "a word before its address was offered"
            if self._ended < len(self.addresses.beats):
                assert beat.last == (self._position == self.addresses.beats[self._ended].len), "wlast at the wrong word"
            self._counted += 1
            self._position = 0 if beat.last else self._position + 1
            self._ended += beat.last
        for beat in self.answers.beats[self._answered :]:
            self.cover("b", beat.resp)
        self._answered = len(self.answers.beats)
        self.ahead = max(self.ahead, len(self.addresses.beats) - self._ended)
        assert self.addresses.offers - len(self.answers.beats) <= OUTSTANDING_WRITES
        if len(self.addresses.beats) > len(self.answers.beats):
            assert self.was_reset or not self.read("idle"), "idle while a burst is unanswered"
            assert self.read("pending"), "a burst is unanswered, and not pending"

    def send(self, transfer: Transfer, sparse: bool = True, of: Transfer | None = None) -> None:
        """A command with random words; `sparse`: with random strobes too. `of`: the command, of which it is a part."""
        config = self.config
        self.commands.send([(of or transfer).payload(config)])
        self.bursts += transfer.bursts(config)
        for address, row_last, _ in transfer.words(config):
            data = self.source.getrandbits(config.bus_bits)
            strobe = self.source.getrandbits(config.bus_bytes) if sparse else (1 << config.bus_bytes) - 1
            payload = join([(data, config.bus_bits), (strobe, config.bus_bytes), (int(row_last), 1)])
            assert payload.bit_length() <= write_word_layout(config).size
            self.words.send([payload])
            self.writes.append((address, data, strobe))

    def fail_everything(self) -> None:
        """From now on the memory answers every write with an error."""
        self.memory.faults = set(range(MEMORY_BYTES))

    def apply(self, count: int) -> None:
        """Expect the first `count` words in the memory."""
        for address, data, strobe in self.writes[:count]:
            for byte in range(self.config.bus_bytes):
                if strobe >> byte & 1:
                    self.expected[address + byte] = data >> 8 * byte & 0xFF

    def apply_after_stop(self, accepted: int) -> None:
        """Expect what a stopped engine has written: `accepted` words, or all words of the bursts it has begun."""
        begun = sum(beats for _, beats in self.addresses.bursts())
        assert self.config.addresses_ahead or begun <= accepted, "a burst without its words"
        self.apply(accepted if self.config.addresses_ahead else begun)

    async def wait_idle(self, within: int = 12_000) -> None:
        """Until the engine is idle for good."""
        quiet = 0
        for _ in range(within):
            await self.clock()
            quiet = quiet + 1 if self.read("idle") else 0
            if quiet == 4 and not self.commands.queue:
                return
        raise AssertionError(f"not idle within {within} cycles")

    async def stay_idle(self) -> None:
        """After a stop: idle soon, and idle it stays."""
        await self.wait_for("idle", within=5000)
        finished = len(self.answers.beats)
        await self.clock(80)
        assert self.read("idle") and len(self.answers.beats) <= finished + 1

    def assert_finished(self) -> None:
        """Every burst has all its words and its response."""
        self.assert_bursts_complete()
        assert len(self.addresses.beats) == len(self.answers.beats)

    def assert_memory(self) -> None:
        wrong = [a for a in range(MEMORY_BYTES) if self.memory.bytes[a] != self.expected[a]]
        assert not wrong, f"{len(wrong)} wrong bytes, the first at {wrong[0]:#x}"

    def transfer(self, page: int) -> Transfer:
        """A random one that starts in a page and ends not later than in the next one."""
        source = self.source
        row_bytes = source.choice([0, 1, ALIGNMENT, source.randrange(1, 200), source.randrange(1, 700)])
        rows = source.choice([0, 1, 1, 2, source.randrange(1, 6)])
        stride = -(-row_bytes // ALIGNMENT) * ALIGNMENT + source.choice([0, ALIGNMENT, 64])
        before_end = PAGE_BYTES - ALIGNMENT * source.randrange(1, 20)
        offset = source.choice([0, before_end, before_end, source.randrange(PAGE_BYTES // ALIGNMENT) * ALIGNMENT])
        return Transfer(page * PAGE_BYTES + offset, row_bytes, rows, stride)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.7])
async def every_byte_arrives_and_no_other(dut, stall):
    tb = await WriteDmaBench.begun(dut, stall)
    # The first one crosses a page in the middle of each row, the second one has one step on either side.
    transfers = [
        Transfer(PAGE_BYTES - 48, 200, 3, PAGE_BYTES),
        Transfer(PAGE_BYTES - ALIGNMENT, 2 * ALIGNMENT, 1, 0),
    ]
    transfers += [tb.transfer(tb.source.randrange(MEMORY_BYTES // PAGE_BYTES - 1)) for _ in range(24)]
    for transfer in transfers:
        tb.send(transfer)
    await tb.wait_idle()
    tb.assert_empty()
    tb.apply(len(tb.writes))
    tb.assert_finished()
    tb.assert_memory()
    bursts = [burst for transfer in transfers for burst in transfer.bursts(tb.config)]
    assert tb.addresses.bursts() == bursts
    assert not tb.error().valid


@cocotb.test()
async def one_word_a_cycle(dut):
    """Over bursts, rows and commands."""
    tb = await WriteDmaBench.begun(dut)
    config = tb.config
    row = min(3 * config.max_burst_beats, 150) * config.bus_bytes
    tb.send(Transfer(0x0FC0, row, 2, row), sparse=False)
    tb.send(Transfer(0x5000, row, 1, row))
    tb.send(Transfer(0x7000, row, 1, row))
    await tb.wait_idle()
    tb.apply(len(tb.writes))
    tb.assert_memory()
    cycles = [beat.cycle for beat in tb.beats.beats]
    lost = cycles[-1] - cycles[0] + 1 - len(cycles)
    if config.max_burst_beats > 1:  # the memory model needs more than a cycle for a burst
        # A longer burst than those before it is gathered more slowly than they leave: once, not again and again.
        allowed = 0 if config.addresses_ahead else config.max_burst_beats
        assert lost <= allowed, f"{lost} cycles lost in {len(cycles)} words"
    if config.addresses_ahead:
        assert cycles[0] - tb.words.cycles[0] == 1
        assert tb.addresses.beats[0].cycle - tb.commands.cycles[0] == 3
    else:
        gathered = tb.words.cycles[tb.addresses.bursts()[0][1] - 1]
        assert cycles[0] == max(gathered + 3, tb.addresses.beats[0].cycle + 1)


@cocotb.test()
async def addresses_and_data(dut):
    """Addresses run ahead of their data, or wait for all of it, as the configuration says."""
    tb = await WriteDmaBench.begun(dut)
    tb.words.stop()
    tb.send(Transfer(0, tb.config.max_burst_beats * tb.config.bus_bytes, 3, PAGE_BYTES))
    await tb.clock(40)
    assert not tb.beats.beats and not tb.read("idle")
    assert (tb.addresses.offers >= 2) if tb.config.addresses_ahead else not tb.addresses.offers
    tb.words.start()
    await tb.wait_idle()
    assert not tb.config.addresses_ahead or tb.ahead >= 2
    tb.apply(len(tb.writes))
    tb.assert_memory()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def exclusive_okay_is_a_success(dut, stall):
    tb = await WriteDmaBench.begun(dut, stall)
    tb.memory.success = Response.EXOKAY
    tb.send(Transfer(0x1000 - 96, 300, 7, 512))
    await tb.wait_idle()
    tb.apply(len(tb.writes))
    tb.assert_finished()
    tb.assert_memory()
    assert not tb.error().valid


@cocotb.test()
@cocotb.parametrize(response=[Response.SLVERR, Response.DECERR], stall=[0.0, 0.4], trial=[0, 1])
async def a_bus_error_stops_the_engine(dut, response, stall, trial):
    tb = WriteDmaBench(dut, stall, response)
    tb.source.seed(f"error {trial}")
    await tb.begin()
    transfer = Transfer(0x1000 - 96, 300, 7, 512)
    tb.send(transfer, sparse=False)
    tb.send(Transfer(0x4000, 300, 20, 512), sparse=False)
    words = [address for address, _, _ in transfer.words(tb.config)]
    failing = tb.source.choice(words)
    tb.memory.faults = {failing}
    if trial:  # the first one counts
        tb.memory.faults |= set(words[words.index(failing) :]) | set(range(0x4000, MEMORY_BYTES))
    bursts = transfer.bursts(tb.config)
    expected = next(a for a, beats in bursts if a <= failing < a + beats * tb.config.bus_bytes)
    error = await tb.wait_error()
    assert error.response == response and error.address == expected
    await tb.clock()
    offered, accepted = tb.addresses.offers, tb.words.beats
    await tb.stay_idle()
    assert tb.addresses.offers == offered, "a new burst after the error"
    assert tb.words.beats == accepted, "a word was taken after the error"
    assert tb.error() == error
    tb.assert_finished()
    without = [beat for beat in tb.beats.beats[accepted:] if beat.strb]
    assert not without, "strobes in words that nobody sent"
    tb.apply_after_stop(accepted)
    size = tb.config.bus_bytes
    for address in tb.memory.faults:  # nobody writes there
        word = address // size * size
        tb.expected[word : word + size] = tb.memory.bytes[word : word + size]
    tb.assert_memory()
    await works_after_reset(tb)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], moment=[3, 5, 12, 33, 64, 97])
async def stop_in_the_middle(dut, stall, moment):
    tb = WriteDmaBench(dut, stall)
    tb.source.seed(f"stop {moment}")
    await tb.begin()
    tb.send(Transfer(0x0F80, 700, 9, 1024))
    await tb.clock(moment + tb.source.randrange(4))
    await tb.pulse(stop=1)
    await tb.clock()
    offered, accepted = tb.addresses.offers, tb.words.beats
    if moment % 2:
        tb.words.stop()  # a producer that was stopped as well has no words for the bursts under way
    if moment % 3 == 0:
        tb.fail_everything()  # nobody is interested any more
    await tb.stay_idle()
    assert tb.addresses.offers == offered, "a new burst after the stop"
    assert tb.words.beats == accepted, "a word was taken after the stop"
    tb.assert_finished()
    assert not tb.error().valid
    assert not any(beat.strb for beat in tb.beats.beats[accepted:]), "strobes in words that nobody sent"
    tb.apply_after_stop(accepted)
    if not tb.memory.faults:
        tb.assert_memory()
    tb.expected[:] = tb.memory.bytes
    await works_after_reset(tb)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], moment=[3, 5, 12, 33, 64, 97], resets=[1, 2])
async def reset_in_the_middle(dut, stall, moment, resets):
    """Of the engine alone: bursts that the memory has seen are ended without a byte that was not meant to be."""
    tb = WriteDmaBench(dut, stall)
    tb.source.seed(f"reset {moment} {resets}")
    await tb.begin()
    tb.send(Transfer(0x0F80, 700, 9, 1024))
    await tb.clock(moment + tb.source.randrange(4))
    sent, before = list(tb.writes), tb.beats.offers
    tb.gathers = False  # the count of words begins anew
    for _ in range(resets):
        await tb.reset(1 + tb.source.randrange(3))
        await tb.clock(tb.source.randrange(4))
    offered = tb.addresses.offers
    await works_after_reset(tb, sent, offered, before)
    assert not tb.read("pending")
    tb.assert_finished()


@cocotb.test()
async def every_bit_of_a_command(dut):
    """Rows anywhere, as long, as many and as far apart as a command can say: they begin, and a stop ends them."""
    tb = await WriteDmaBench.begun(dut)
    width = tb.config.bus_bytes
    step = max(width, ALIGNMENT)
    seen = 3 * min(tb.config.max_burst_beats * width, PAGE_BYTES)
    commands = [Transfer(1 << bit, 1, 1, 0) for bit in range(step.bit_length() - 1, tb.config.address_bits)]
    commands += [Transfer(0, 1 << bit, 1, 0) for bit in range(step.bit_length(), TRANSFER_ROW_BITS)]
    commands += [Transfer(PAGE_BYTES, 1, 1 << bit, step) for bit in range(SIZE_BITS)]
    commands += [Transfer(0, 1, 2, 1 << bit) for bit in range(step.bit_length() - 1, STRIDE_BITS)]
    for command in commands:
        few = Transfer(command.address, min(command.row_bytes, seen), min(command.rows, 3), command.stride)
        whole = few == command
        expected = few.bursts(tb.config)[: None if whole else -1]
        tb.send(few, of=command)
        before = len(tb.addresses.beats)
        for _ in range(3000):
            if len(tb.addresses.beats) >= before + len(expected):
                break
            await tb.clock()
        assert tb.addresses.bursts()[before:][: len(expected)] == expected, command
        if not whole:
            assert not tb.read("idle"), f"{command} ends too early"
            await tb.pulse(stop=1)
        await tb.wait_for("idle", within=3000)
        if whole and not tb.error().valid:
            assert len(tb.addresses.beats) == before + len(expected), f"{command} goes on"
        await tb.restart()
        tb.gathers = False


async def works_after_reset(
    tb: WriteDmaBench, sent: list[tuple[int, int, int]] | None = None, offered: int = 0, before: int = 0
) -> None:
    """A reset, then a transfer.

    Args:
        tb: the bench.
        sent: words of before the reset, if some may be under way.
        offered: bursts of before.
        before: words of before that were offered.
    """
    await tb.restart()
    tb.gathers = False
    tb.writes.clear()
    tb.send(Transfer(0x2FF0, 80, 3, 96))
    await tb.wait_idle()
    if sent is not None:
        old = sum(beats for _, beats in tb.addresses.bursts()[:offered])
        late = tb.beats.beats[before + 3 : old]  # what was on its way through registers and monitor
        assert not any(beat.strb for beat in late), "strobes in words of before the reset"
        for (address, data, strobe), beat in zip(sent, tb.beats.beats[:old], strict=False):
            assert beat.strb in (0, strobe) and (not beat.strb or beat.data == data)
            tb.writes.insert(0, (address, data, beat.strb))
    tb.apply(len(tb.writes))
    tb.assert_memory()
