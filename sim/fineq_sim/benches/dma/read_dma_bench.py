"""Read engine: random transfers of four clients, protocol, order, rate, bus errors, stop in the middle."""

from __future__ import annotations

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from fineq_hw.config import ALIGNMENT
from fineq_hw.interface.bus import Response
from fineq_hw.lib.axi import PAGE_BYTES, bus_error_layout
from fineq_hw.lib.machine_streams import read_word_layout
from fineq_sim.bench.axi_memory import AddressMonitor, ChannelMonitor, Memory, Transfer, read_memory
from fineq_sim.bench.streams import StreamConsumer, StreamProducer, assert_empty
from fineq_sim.bench.testbench import parameters, random_source, reset, start_clock
from fineq_sim.reference.payloads import find_config

CHANNELS = 4
MEMORY_BYTES = 1 << 16


class Bench:
    """The engine between a memory and its clients."""

    def __init__(self, dut, stall: float = 0.0, response: Response = Response.SLVERR) -> None:
        self.dut = dut
        self.config = find_config(parameters()["config"])
        self.memory = Memory(MEMORY_BYTES, "read")
        self.slave = read_memory(dut, self.memory, stall, response)
        self.commands = [StreamProducer.with_stalls(dut, f"commands_{c}", stall) for c in range(CHANNELS)]
        self.words = [StreamConsumer.with_stalls(dut, f"words_{c}", stall) for c in range(CHANNELS)]
        self.under_way = self.most_under_way = 0
        dut.stop.value = 0

    async def begin(self) -> None:
        start_clock(self.dut)
        await reset(self.dut)
        self.addresses = AddressMonitor(self.dut, "ar", self.config)
        self.beats = ChannelMonitor(self.dut, "r", ("data", "resp", "last"))
        cocotb.start_soon(self._count())
        for stream in (*self.commands, *self.words):
            stream.start()
        assert self.dut.idle.value == 1

    async def _count(self) -> None:
        """Bursts offered or unanswered are never more than allowed; `idle` never lies."""
        answered = counted = 0
        while True:
            await RisingEdge(self.dut.clk)
            answered += sum(beat.last for beat in self.beats.beats[counted:])
            counted = len(self.beats.beats)
            self.under_way = self.addresses.offers - answered
            self.most_under_way = max(self.most_under_way, self.under_way)
            assert self.under_way <= self.config.outstanding_reads
            if self.dut.m_axi_arvalid.value == 1 or len(self.addresses.beats) > answered:
                assert self.dut.idle.value == 0, "idle while a burst is under way"

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

    def error(self):
        return bus_error_layout(self.config).from_bits(int(self.dut.error.value))

    async def wait_idle(self, within: int = 3000) -> None:
        for _ in range(within):
            await RisingEdge(self.dut.clk)
            if self.dut.idle.value == 1:
                return
        raise AssertionError(f"not idle within {within} cycles")

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
    bench = Bench(dut, stall)
    source = random_source(f"transfers {stall}")
    await bench.begin()
    transfers = []
    for channel in range(CHANNELS):
        # The first one crosses a page in the middle of each row.
        crossing = Transfer(channel * MEMORY_BYTES // CHANNELS + PAGE_BYTES - 48, 200, 3, PAGE_BYTES)
        transfers.append([crossing, *(bench.transfer(source, channel) for _ in range(7))])
    for channel in range(CHANNELS):
        bench.send(channel, *transfers[channel])
    for channel in range(CHANNELS):
        expected = [word for transfer in transfers[channel] for word in bench.expected(transfer)]
        got = bench.unpacked(await bench.words[channel].receive(len(expected), within=60_000))
        assert got == expected, f"channel {channel} got other words"
        bursts = [burst for burst in bench.addresses.bursts() if bench.region(channel, burst[0])]
        assert bursts == [burst for transfer in transfers[channel] for burst in transfer.bursts(bench.config)]
    await ClockCycles(dut.clk, 20)
    assert dut.idle.value == 1 and not bench.error().valid
    assert_empty(*bench.commands, *bench.words)


@cocotb.test()
async def low_channels_come_first(dut):
    """From the moment when all wait, the bursts of a channel come before those of all higher ones."""
    bench = Bench(dut)
    await bench.begin()
    rows = 24
    for channel in range(CHANNELS):
        base = channel * MEMORY_BYTES // CHANNELS
        bench.send(channel, Transfer(base, ALIGNMENT, rows, ALIGNMENT))
    words = rows * ALIGNMENT // bench.config.bus_bytes
    for channel in range(CHANNELS):
        await bench.words[channel].receive(words)
    order = [address * CHANNELS // MEMORY_BYTES for address, _ in bench.addresses.bursts()]
    assert order[CHANNELS:] == sorted(order[CHANNELS:]), f"bursts went to the channels {order}"


@cocotb.test()
async def one_word_a_cycle(dut):
    """From the first word to the last, over bursts, rows, commands and clients, if enough may be under way."""
    bench = Bench(dut)
    config = bench.config
    await bench.begin()
    row = 3 * config.max_burst_beats * config.bus_bytes
    row = min(row, MEMORY_BYTES // 16)
    for channel in range(CHANNELS):
        base = channel * MEMORY_BYTES // CHANNELS
        bench.send(channel, Transfer(base, row, 2, row), Transfer(base + ALIGNMENT, row, 1, 0))
    words = 3 * row // config.bus_bytes
    for channel in range(CHANNELS):
        await bench.words[channel].receive(words)
    cycles = sorted(cycle for stream in bench.words for cycle in stream.cycles)
    beats = [beat.cycle for beat in bench.beats.beats]
    lost = beats[-1] - beats[0] + 1 - len(beats)
    if config.outstanding_reads * config.max_burst_beats >= 64 and config.outstanding_reads > 1:
        assert lost == 0, f"{lost} cycles lost in {len(beats)} words"
        assert cycles[-1] - cycles[0] + 1 == len(cycles) == CHANNELS * words


@cocotb.test()
async def as_many_bursts_under_way_as_allowed(dut):
    """A memory that takes every address and answers late."""
    bench = Bench(dut)
    bench.slave.ar_channel.queue_occupancy_limit = -1
    bench.slave.r_channel.pause = True
    await bench.begin()
    transfers = [Transfer(channel * 0x4000, ALIGNMENT, 30, ALIGNMENT) for channel in range(CHANNELS)]
    for channel, transfer in enumerate(transfers):
        bench.send(channel, transfer)
    await ClockCycles(dut.clk, 100)
    assert bench.most_under_way == len(bench.addresses.beats) == bench.config.outstanding_reads
    bench.slave.r_channel.pause = False
    for channel, transfer in enumerate(transfers):
        expected = bench.expected(transfer)
        assert bench.unpacked(await bench.words[channel].receive(len(expected))) == expected


@cocotb.test()
async def first_address_after_three_cycles(dut):
    bench = Bench(dut)
    await bench.begin()
    bench.send(2, Transfer(64, 16, 1, 0))
    await bench.words[2].receive(16 // bench.config.bus_bytes)
    accepted, word = bench.commands[2].cycles[0], bench.words[2].cycles[0]
    # Two clocks that start together count the same edges.
    assert bench.addresses.beats[0].cycle - accepted == 3
    assert word - bench.beats.beats[0].cycle == 1


@cocotb.test()
@cocotb.parametrize(response=[Response.SLVERR, Response.DECERR], stall=[0.0, 0.4], trial=[0, 1])
async def a_bus_error_stops_the_engine(dut, response, stall, trial):
    bench = Bench(dut, stall, response)
    source = random_source(f"error {response.name} {stall} {trial}")
    await bench.begin()
    transfer = Transfer(0x1000 - 96, 300, 7, 512)
    others = Transfer(0x4000, 300, 12, 512)
    addresses = [address for address, _, _ in transfer.words(bench.config)]
    failing = source.randrange(len(addresses))
    bench.memory.faults = {addresses[failing]}
    bench.send(0, transfer)
    bench.send(1, others)
    for _ in range(20_000):
        await RisingEdge(dut.clk)
        if bench.error().valid:
            break
    error = bench.error()
    assert error.valid and error.response == response and error.address == addresses[failing]
    await RisingEdge(dut.clk)
    offered = bench.addresses.offers
    await bench.wait_idle()
    await ClockCycles(dut.clk, 60)
    assert bench.addresses.offers == offered, "a new burst after the error"
    assert len(bench.beats.beats) == sum(beats for _, beats in bench.addresses.bursts()), "beats were left on the bus"
    assert dut.idle.value == 1
    got = bench.unpacked(bench.words[0].queue)
    assert got == bench.expected(transfer)[:failing], "not exactly the words before the failing one"
    assert bench.unpacked(bench.words[1].queue) == bench.expected(others)[: len(bench.words[1].queue)]
    assert bench.error() == error
    await works_after_reset(bench)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], moment=[2, 4, 9, 30, 61])
async def stop_in_the_middle(dut, stall, moment):
    bench = Bench(dut, stall)
    source = random_source(f"stop {stall} {moment}")
    await bench.begin()
    for channel in range(CHANNELS):
        bench.send(channel, Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
    await ClockCycles(dut.clk, moment + source.randrange(4))
    dut.stop.value = 1
    await RisingEdge(dut.clk)
    dut.stop.value = 0
    await RisingEdge(dut.clk)
    offered = bench.addresses.offers
    await bench.wait_idle()
    taken = [stream.beats for stream in bench.words]
    await ClockCycles(dut.clk, 80)
    assert bench.addresses.offers == offered, "a new burst after the stop"
    assert len(bench.beats.beats) == sum(beats for _, beats in bench.addresses.bursts()), "beats were left on the bus"
    assert dut.idle.value == 1 and not bench.error().valid
    for channel, stream in enumerate(bench.words):
        assert stream.beats - taken[channel] <= 1, "words after idle"  # one may still have been on offer
        expected = bench.expected(Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
        assert bench.unpacked(stream.queue) == expected[: stream.beats]
    await works_after_reset(bench)


@cocotb.test()
async def a_client_that_takes_nothing_does_not_hold_up_a_stop(dut):
    bench = Bench(dut)
    bench.slave.ar_channel.queue_occupancy_limit = -1
    await bench.begin()
    for stream in bench.words:
        stream.stop()
    for channel in range(CHANNELS):
        bench.send(channel, Transfer(channel * 0x4000 + 0xF80, 700, 9, 1024))
    await ClockCycles(dut.clk, 100)
    assert dut.idle.value == 0 and bench.under_way == bench.config.outstanding_reads
    dut.stop.value = 1
    await RisingEdge(dut.clk)
    dut.stop.value = 0
    await bench.wait_idle()
    assert len(bench.beats.beats) == sum(beats for _, beats in bench.addresses.bursts()), "beats were left on the bus"
    await works_after_reset(bench)


async def works_after_reset(bench: Bench) -> None:
    for stream in (*bench.commands, *bench.words):
        stream.stop()
    bench.memory.faults = set()
    await reset(bench.dut)
    assert bench.dut.idle.value == 1 and not bench.error().valid
    for stream in (*bench.commands, *bench.words):
        stream.start()
    transfer = Transfer(0x2FF0, 80, 3, 96)
    bench.send(3, transfer)
    expected = bench.expected(transfer)
    assert bench.unpacked(await bench.words[3].receive(len(expected))) == expected
