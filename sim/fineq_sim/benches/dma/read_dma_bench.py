"""Read engine: random transfers of four clients, protocol, order, rate, bus errors, stop in the middle."""

from __future__ import annotations

import cocotb

from fineq_hw.config import ALIGNMENT, TRANSFER_ROW_BITS
from fineq_hw.interface.bus import PAGE_BYTES, Response
from fineq_hw.interface.jobs import SIZE_BITS, STRIDE_BITS
from fineq_hw.lib.machine_streams import read_word_layout
from fineq_sim.bench.axi_memory import Memory, Transfer, read_memory
from fineq_sim.bench.dma_bench import DmaBench
from fineq_sim.bench.testbench import random_source

CHANNELS = 4
MEMORY_BYTES = 1 << 16


class ReadDmaBench(DmaBench):
    """The engine between a memory and its clients."""

    def __init__(self, dut, stall: float = 0.0, response: Response = Response.SLVERR) -> None:
        memory = Memory(MEMORY_BYTES, "read")
        super().__init__(dut, stall, "read", memory, ("ar", "r"), ("data", "resp", "last"))
        memory.answer = response
        self.slave = read_memory(dut, memory, stall)
        self.commands = [self.producer(f"commands_{channel}") for channel in range(CHANNELS)]
        self.words = [self.consumer(f"words_{channel}") for channel in range(CHANNELS)]
        self.under_way = self.most_under_way = 0
        self._answered = self._counted = 0

    async def begin(self) -> None:
        await super().begin()
        self.every_cycle(self._count)

    def _count(self) -> None:
        """Bursts offered or unanswered are never more than allowed; `idle` never lies."""
        for beat in self.beats.beats[self._counted :]:
            self._answered += beat.last
            self.cover("r", beat.resp)
        self._counted = len(self.beats.beats)
        self.under_way = self.addresses.offers - self._answered
        self.most_under_way = max(self.most_under_way, self.under_way)
        assert self.under_way <= self.config.outstanding_reads
        if self.read("m_axi_arvalid") or len(self.addresses.beats) > self._answered:
            assert self.was_reset or not self.read("idle"), "idle while a burst is under way"
            assert self.read("pending"), "a burst is under way, and not pending"

    def expected(self, transfer: Transfer) -> list[tuple[int, int, int]]:
        """(data, row_last, last) of every word."""
        size = self.config.bus_bytes
        return [
            (int.from_bytes(self.memory.bytes[address : address + size], "little"), int(row_last), int(last))
            for address, row_last, last in transfer.words(self.config)
        ]

    def unpacked(self, payloads) -> list[tuple[int, int, int]]:
        values = [read_word_layout(self.config).from_bits(payload) for payload in payloads]
        return [(value.data, value.row_last, value.last) for value in values]

    def send(self, channel: int, *transfers: Transfer) -> None:
        self.commands[channel].send(transfer.payload(self.config) for transfer in transfers)

    async def addresses_taken(self, count: int, within: int = 3000) -> None:
        """Clock until the memory has taken so many addresses in all."""
        for _ in range(within):
            if len(self.addresses.beats) >= count:
                return
            await self.clock()
        raise AssertionError(f"{len(self.addresses.beats)} of {count} addresses within {within} cycles")

    def region(self, channel: int, address: int) -> bool:
        """Whether an address lies in the part of the memory where a channel reads."""
        size = MEMORY_BYTES // CHANNELS
        return channel * size <= address < (channel + 1) * size

    def transfer(self, source, channel: int) -> Transfer:
        """A random one in the channel's part of the memory, often next to the end of a page."""
        size = MEMORY_BYTES // CHANNELS
        while True:
            page = source.randrange(size // PAGE_BYTES) * PAGE_BYTES
            before_end = PAGE_BYTES - ALIGNMENT * source.randrange(1, 20)
            near = source.choice([0, before_end, before_end, source.randrange(PAGE_BYTES)])
            stride = source.choice([0, ALIGNMENT, source.randrange(0, 1024), PAGE_BYTES])
            transfer = Transfer(
                channel * size + page + near // ALIGNMENT * ALIGNMENT,
                source.choice([0, 1, ALIGNMENT, source.randrange(1, 200), source.randrange(1, 700)]),
                source.choice([0, 1, 1, 2, source.randrange(1, 9)]),
                stride // ALIGNMENT * ALIGNMENT,
            )
            if all(self.region(channel, address) for address, _, _ in transfer.words(self.config)):
                return transfer


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3, 0.7])
async def every_client_gets_its_words(dut, stall):
    tb = await ReadDmaBench.begun(dut, stall)
    source = random_source(f"transfers {stall}")
    transfers = []
    for channel in range(CHANNELS):
        # The first one crosses a page in the middle of each row, the second one has one step on either side.
        page = channel * MEMORY_BYTES // CHANNELS + PAGE_BYTES
        crossing = Transfer(page - 48, 200, 3, PAGE_BYTES)
        edge = Transfer(page - ALIGNMENT, 2 * ALIGNMENT, 1, 0)
        transfers.append([crossing, edge, *(tb.transfer(source, channel) for _ in range(7))])
    for channel in range(CHANNELS):
        tb.send(channel, *transfers[channel])
    for channel in range(CHANNELS):
        expected = [word for transfer in transfers[channel] for word in tb.expected(transfer)]
        got = tb.unpacked(await tb.words[channel].receive(len(expected), within=20_000))
        assert got == expected, f"channel {channel} got other words"
        bursts = [burst for burst in tb.addresses.bursts() if tb.region(channel, burst[0])]
        assert bursts == [burst for transfer in transfers[channel] for burst in transfer.bursts(tb.config)]
    await tb.finish()
    assert tb.read("idle") and not tb.error().valid


@cocotb.test()
async def low_channels_come_first(dut):
    """From the moment when all wait, the bursts of a channel come before those of all higher ones."""
    tb = await ReadDmaBench.begun(dut)
    rows = 24
    for channel in range(CHANNELS):
        base = channel * MEMORY_BYTES // CHANNELS
        tb.send(channel, Transfer(base, ALIGNMENT, rows, ALIGNMENT))
    words = rows * ALIGNMENT // tb.config.bus_bytes
    for channel in range(CHANNELS):
        await tb.words[channel].receive(words)
    order = [address * CHANNELS // MEMORY_BYTES for address, _ in tb.addresses.bursts()]
    assert order[CHANNELS:] == sorted(order[CHANNELS:]), f"bursts went to the channels {order}"


@cocotb.test()
async def one_word_a_cycle(dut):
    """From the first word to the last, over bursts, rows, commands and clients, if enough may be under way."""
    tb = await ReadDmaBench.begun(dut)
    config = tb.config
    row = 3 * config.max_burst_beats * config.bus_bytes
    row = min(row, MEMORY_BYTES // 16)
    for channel in range(CHANNELS):
        base = channel * MEMORY_BYTES // CHANNELS
        tb.send(channel, Transfer(base, row, 2, row), Transfer(base + ALIGNMENT, row, 1, 0))
    words = 3 * row // config.bus_bytes
    for channel in range(CHANNELS):
        await tb.words[channel].receive(words)
    cycles = sorted(cycle for stream in tb.words for cycle in stream.cycles)
    beats = [beat.cycle for beat in tb.beats.beats]
    lost = beats[-1] - beats[0] + 1 - len(beats)
    if config.outstanding_reads * config.max_burst_beats >= 64 and config.outstanding_reads > 1:
        assert lost == 0, f"{lost} cycles lost in {len(beats)} words"
        assert cycles[-1] - cycles[0] + 1 == len(cycles) == CHANNELS * words


@cocotb.test()
async def as_many_bursts_under_way_as_allowed(dut):
    """A memory that takes every address and answers late."""
    tb = ReadDmaBench(dut)
    tb.slave.ar_channel.queue_occupancy_limit = -1
    tb.slave.r_channel.pause = True
    await tb.begin()
    transfers = [Transfer(channel * 0x4000, ALIGNMENT, 30, ALIGNMENT) for channel in range(CHANNELS)]
    for channel, transfer in enumerate(transfers):
        tb.send(channel, transfer)
    await tb.clock(100)
    assert tb.most_under_way == len(tb.addresses.beats) == tb.config.outstanding_reads
    tb.slave.r_channel.pause = False
    for channel, transfer in enumerate(transfers):
        expected = tb.expected(transfer)
        assert tb.unpacked(await tb.words[channel].receive(len(expected))) == expected


@cocotb.test()
async def first_address_after_three_cycles(dut):
    tb = await ReadDmaBench.begun(dut)
    tb.send(2, Transfer(64, 16, 1, 0))
    await tb.words[2].receive(16 // tb.config.bus_bytes)
    accepted, word = tb.commands[2].cycles[0], tb.words[2].cycles[0]
    # Two clocks that start together count the same edges.
    assert tb.addresses.beats[0].cycle - accepted == 3
    assert word - tb.beats.beats[0].cycle == 1


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def exclusive_okay_is_a_success(dut, stall):
    tb = await ReadDmaBench.begun(dut, stall)
    tb.memory.success = Response.EXOKAY
    transfer = Transfer(PAGE_BYTES - 48, 200, 3, PAGE_BYTES)
    tb.send(1, transfer)
    expected = tb.expected(transfer)
    assert tb.unpacked(await tb.words[1].receive(len(expected))) == expected
    await tb.finish()
    assert tb.read("idle") and not tb.error().valid


@cocotb.test()
@cocotb.parametrize(response=[Response.SLVERR, Response.DECERR], stall=[0.0, 0.4], trial=[0, 1])
async def a_bus_error_stops_the_engine(dut, response, stall, trial):
    tb = await ReadDmaBench.begun(dut, stall, response)
    source = random_source(f"error {response.name} {stall} {trial}")
    transfer = Transfer(0x1000 - 96, 300, 7, 512)
    others = Transfer(0x4000, 300, 12, 512)
    addresses = [address for address, _, _ in transfer.words(tb.config)]
    failing = source.randrange(len(addresses))
    tb.memory.faults = set(addresses[failing:] if trial else [addresses[failing]])  # the first one counts
    tb.send(0, transfer)
    tb.send(1, others)
    error = await tb.wait_error()
    assert error.response == response and error.address == addresses[failing]
    await tb.clock()
    offered = tb.addresses.offers
    await tb.wait_for("idle", within=3000)
    await tb.clock(60)
    assert tb.addresses.offers == offered, "a new burst after the error"
    tb.assert_bursts_complete()
    assert tb.read("idle")
    got = tb.unpacked(tb.words[0].queue)
    assert got == tb.expected(transfer)[:failing], "not exactly the words before the failing one"
    assert tb.unpacked(tb.words[1].queue) == tb.expected(others)[: len(tb.words[1].queue)]
    assert tb.error() == error
    await works_after_reset(tb)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], moment=[2, 4, 9, 30, 61])
async def stop_in_the_middle(dut, stall, moment):
    tb = await ReadDmaBench.begun(dut, stall)
    source = random_source(f"stop {stall} {moment}")
    for channel in range(CHANNELS):
        tb.send(channel, Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
    await tb.clock(moment + source.randrange(4))
    await tb.pulse(stop=1)
    if moment % 2:
        tb.memory.faults = set(range(MEMORY_BYTES))  # nobody is interested any more
    await tb.clock()
    offered = tb.addresses.offers
    await tb.wait_for("idle", within=3000)
    taken = [stream.beats for stream in tb.words]
    await tb.clock(80)
    assert tb.addresses.offers == offered, "a new burst after the stop"
    tb.assert_bursts_complete()
    assert tb.read("idle") and not tb.read("pending") and not tb.error().valid
    tb.memory.faults = set()
    for channel, stream in enumerate(tb.words):
        assert stream.beats - taken[channel] <= 1, "words after idle"  # one may still have been on offer
        expected = tb.expected(Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
        assert tb.unpacked(stream.queue) == expected[: stream.beats]
    await works_after_reset(tb)


@cocotb.test()
async def a_client_that_takes_nothing_does_not_hold_up_a_stop(dut):
    tb = ReadDmaBench(dut)
    tb.slave.ar_channel.queue_occupancy_limit = -1
    await tb.begin()
    for stream in tb.words:
        stream.stop()
    for channel in range(CHANNELS):
        tb.send(channel, Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
    await tb.clock(100)
    assert not tb.read("idle") and tb.under_way == tb.config.outstanding_reads
    await tb.pulse(stop=1)
    await tb.wait_for("idle", within=3000)
    tb.assert_bursts_complete()
    await works_after_reset(tb)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], moment=[2, 4, 9, 30, 61], resets=[1, 2])
async def reset_in_the_middle(dut, stall, moment, resets):
    """Of the engine alone: no word of before reaches a client, no offer is withdrawn, no error is taken for new."""
    tb = ReadDmaBench(dut, stall)
    source = random_source(f"reset {stall} {moment} {resets}")
    tb.slave.ar_channel.queue_occupancy_limit = -1
    await tb.begin()
    for channel in range(CHANNELS):
        tb.send(channel, Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
    await tb.clock(moment + source.randrange(4))
    tb.memory.faults = set(range(0x4000)) if moment % 2 else set()
    for _ in range(resets):
        await tb.reset(1 + source.randrange(3))
        await tb.clock(source.randrange(4))
    await works_after_reset(tb, faults=tb.memory.faults)
    await tb.wait_for("pending", 0)
    tb.assert_bursts_complete()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def after_a_reset_in_a_burst_an_error_has_its_address(dut, stall):
    """A beat is told by its place in its own burst, whatever was left of the burst before the reset."""
    tb = await ReadDmaBench.begun(dut, stall)
    beats = min(tb.config.max_burst_beats, PAGE_BYTES // tb.config.bus_bytes)
    row = beats * tb.config.bus_bytes
    for _ in range(5):
        tb.send(tb.source.randrange(CHANNELS), Transfer(0x2000, row, 4, row))
        await tb.clock(10 + tb.source.randrange(1, beats + 1))
        await tb.restart()
        failing = 0x5000 + tb.config.bus_bytes * tb.source.randrange(beats)
        tb.memory.faults = {failing}
        tb.send(tb.source.randrange(CHANNELS), Transfer(0x5000, row, 1, 0))
        assert (await tb.wait_error()).address == failing
        await tb.restart()


@cocotb.test()
async def every_bit_of_a_command(dut):
    """On every channel rows as long, as many and as far apart as a command can say: they begin, a stop ends them."""
    tb = await ReadDmaBench.begun(dut)
    width = tb.config.bus_bytes
    step = max(width, ALIGNMENT)
    seen = 3 * min(tb.config.max_burst_beats * width, PAGE_BYTES)
    commands = [Transfer(0, 1 << bit, 1, 0) for bit in range(step.bit_length(), TRANSFER_ROW_BITS)]
    commands += [Transfer(PAGE_BYTES, 1, 1 << bit, step) for bit in range(SIZE_BITS)]
    commands += [Transfer(0, 1, 2, 1 << bit) for bit in range(step.bit_length() - 1, STRIDE_BITS)]
    for channel in range(CHANNELS):
        for command in commands:
            few = Transfer(command.address, min(command.row_bytes, seen), min(command.rows, 3), command.stride)
            whole = few == command
            expected = few.bursts(tb.config)[: None if whole else -1]
            before = len(tb.addresses.beats)
            tb.send(channel, command)
            await tb.addresses_taken(before + len(expected))
            assert tb.addresses.bursts()[before:][: len(expected)] == expected, f"{command} on channel {channel}"
            if not whole:
                assert not tb.read("idle"), f"{command} on channel {channel} ends too early"
                await tb.pulse(stop=1)
            await tb.wait_for("idle", within=3000)
            if whole and not tb.error().valid:
                assert len(tb.addresses.beats) == before + len(expected), f"{command} on channel {channel} goes on"
            await tb.restart()


async def works_after_reset(tb: ReadDmaBench, faults: frozenset[int] | set[int] = frozenset()) -> None:
    await tb.restart()
    tb.memory.faults = set(faults)
    transfer = Transfer(0xEFF0, 80, 3, 96)
    tb.send(3, transfer)
    expected = tb.expected(transfer)
    assert tb.unpacked(await tb.words[3].receive(len(expected))) == expected
