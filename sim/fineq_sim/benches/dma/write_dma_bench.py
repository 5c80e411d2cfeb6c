"""Write engine: random transfers and strobes, protocol, rate, bus errors, stop in the middle; never a wrong byte."""

from __future__ import annotations

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from fineq_hw.config import ALIGNMENT
from fineq_hw.dma.write_dma import OUTSTANDING_WRITES
from fineq_hw.interface.bus import Response
from fineq_hw.lib.axi import PAGE_BYTES, bus_error_layout
from fineq_hw.lib.machine_streams import write_word_layout
from fineq_sim.bench.axi_memory import AddressMonitor, ChannelMonitor, Memory, Transfer, write_memory
from fineq_sim.bench.streams import StreamProducer, assert_empty
from fineq_sim.bench.testbench import parameters, random_source, reset, start_clock
from fineq_sim.reference.bits import join
from fineq_sim.reference.payloads import find_config

MEMORY_BYTES = 1 << 15


class Bench:
    """The engine between a producer and a memory."""

    def __init__(self, dut, stall: float = 0.0, response: Response = Response.SLVERR) -> None:
        self.dut = dut
        self.config = find_config(parameters()["config"])
        self.memory = Memory(MEMORY_BYTES, "write")
        self.slave = write_memory(dut, self.memory, stall, response)
        self.commands = StreamProducer.with_stalls(dut, "commands", stall)
        self.words = StreamProducer.with_stalls(dut, "words", stall)
        self.source = random_source(f"words {stall}")
        self.expected = bytearray(self.memory.bytes)
        """What the memory must hold at the end."""
        self.writes: list[tuple[int, int, int]] = []
        """Address, data and strobes of every word that was sent."""
        self.ahead = 0
        dut.stop.value = 0

    async def begin(self) -> None:
        start_clock(self.dut)
        await reset(self.dut)
        self.addresses = AddressMonitor(self.dut, "aw", self.config)
        self.beats = ChannelMonitor(self.dut, "w", ("data", "strb", "last"))
        self.answers = ChannelMonitor(self.dut, "b", ("resp",))
        cocotb.start_soon(self._watch())
        self.commands.start()
        self.words.start()
        assert self.dut.idle.value == 1

    async def _watch(self) -> None:
        """No word before the address of its burst, `last` where the burst ends, not too many bursts, `idle` true."""
        ended = counted = 0
        position = 0
        while True:
            await RisingEdge(self.dut.clk)
            for beat in self.beats.beats[counted:]:
                counted += 1
                assert ended < self.addresses.offers, "a word before its address was offered"
                if ended < len(self.addresses.beats):
                    assert beat.last == (position == self.addresses.beats[ended].len), "wlast at the wrong word"
                position = 0 if beat.last else position + 1
                ended += beat.last
            self.ahead = max(self.ahead, len(self.addresses.beats) - ended)
            unanswered = self.addresses.offers - len(self.answers.beats)
            assert unanswered <= OUTSTANDING_WRITES
            if self.addresses.beats and len(self.addresses.beats) > len(self.answers.beats):
                assert self.dut.idle.value == 0, "idle while a burst is unanswered"

    def send(self, transfer: Transfer, sparse: bool = True) -> None:
        """A command with random words; `sparse`: with random strobes too."""
        config = self.config
        self.commands.send([transfer.payload(config)])
        for address, row_last, _ in transfer.words(config):
            data = self.source.getrandbits(config.bus_bits)
            strobe = self.source.getrandbits(config.bus_bytes) if sparse else (1 << config.bus_bytes) - 1
            payload = join([(data, config.bus_bits), (strobe, config.bus_bytes), (int(row_last), 1)])
            assert payload.bit_length() <= write_word_layout(config).size
            self.words.send([payload])
            self.writes.append((address, data, strobe))

    def apply(self, count: int) -> None:
        """Expect the first `count` words in the memory."""
        for address, data, strobe in self.writes[:count]:
            for byte in range(self.config.bus_bytes):
                if strobe >> byte & 1:
                    self.expected[address + byte] = data >> 8 * byte & 0xFF

    def error(self):
        return bus_error_layout(self.config).from_bits(int(self.dut.error.value))

    async def wait_idle(self, within: int = 30_000) -> None:
        """Until the engine is idle for good."""
        quiet = 0
        for _ in range(within):
            await RisingEdge(self.dut.clk)
            quiet = quiet + 1 if self.dut.idle.value == 1 else 0
            if quiet == 4 and not self.commands.queue:
                return
        raise AssertionError(f"not idle within {within} cycles")

    def assert_finished(self) -> None:
        """Every burst has all its words and its response."""
        assert len(self.addresses.beats) == self.addresses.offers == len(self.answers.beats)
        assert sum(beats for _, beats in self.addresses.bursts()) == len(self.beats.beats)

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
    bench = Bench(dut, stall)
    await bench.begin()
    # The first one crosses a page in the middle of each row.
    transfers = [Transfer(PAGE_BYTES - 48, 200, 3, PAGE_BYTES)]
    transfers += [bench.transfer(bench.source.randrange(MEMORY_BYTES // PAGE_BYTES - 1)) for _ in range(24)]
    for transfer in transfers:
        bench.send(transfer)
    await bench.wait_idle()
    assert_empty(bench.commands, bench.words)
    bench.apply(len(bench.writes))
    bench.assert_finished()
    bench.assert_memory()
    bursts = [burst for transfer in transfers for burst in transfer.bursts(bench.config)]
    assert bench.addresses.bursts() == bursts
    assert not bench.error().valid


@cocotb.test()
async def one_word_a_cycle(dut):
    """Over bursts, rows and commands."""
    bench = Bench(dut)
    config = bench.config
    await bench.begin()
    row = min(3 * config.max_burst_beats, 150) * config.bus_bytes
    bench.send(Transfer(0x0FC0, row, 2, row), sparse=False)
    bench.send(Transfer(0x5000, row, 1, row))
    bench.send(Transfer(0x7000, row, 1, row))
    await bench.wait_idle()
    bench.apply(len(bench.writes))
    bench.assert_memory()
    cycles = [beat.cycle for beat in bench.beats.beats]
    lost = cycles[-1] - cycles[0] + 1 - len(cycles)
    if config.max_burst_beats > 1:  # the memory model needs more than a cycle for a burst
        assert lost == 0, f"{lost} cycles lost in {len(cycles)} words"
    assert cycles[0] - bench.words.cycles[0] == 1
    assert bench.addresses.beats[0].cycle - bench.commands.cycles[0] == 3


@cocotb.test()
async def addresses_run_ahead_of_data(dut):
    bench = Bench(dut)
    await bench.begin()
    bench.words.stop()
    bench.send(Transfer(0, bench.config.max_burst_beats * bench.config.bus_bytes, 3, PAGE_BYTES))
    await ClockCycles(dut.clk, 40)
    assert bench.addresses.offers >= 2 and not bench.beats.beats and dut.idle.value == 0
    bench.words.start()
    await bench.wait_idle()
    assert bench.ahead >= 2
    bench.apply(len(bench.writes))
    bench.assert_memory()


@cocotb.test()
@cocotb.parametrize(response=[Response.SLVERR, Response.DECERR], stall=[0.0, 0.4], trial=[0, 1])
async def a_bus_error_stops_the_engine(dut, response, stall, trial):
    bench = Bench(dut, stall, response)
    bench.source.seed(f"error {trial}")
    await bench.begin()
    transfer = Transfer(0x1000 - 96, 300, 7, 512)
    bench.send(transfer, sparse=False)
    bench.send(Transfer(0x4000, 300, 20, 512), sparse=False)
    words = [address for address, _, _ in transfer.words(bench.config)]
    failing = bench.source.choice(words)
    bench.memory.faults = {failing}
    bursts = transfer.bursts(bench.config)
    expected = next(a for a, beats in bursts if a <= failing < a + beats * bench.config.bus_bytes)
    for _ in range(30_000):
        await RisingEdge(dut.clk)
        if bench.error().valid:
            break
    error = bench.error()
    assert error.valid and error.response == response and error.address == expected
    await RisingEdge(dut.clk)
    offered, accepted = bench.addresses.offers, bench.words.beats
    await bench_idle_after_stop(bench)
    assert bench.addresses.offers == offered, "a new burst after the error"
    assert bench.words.beats == accepted, "a word was taken after the error"
    assert bench.error() == error
    bench.assert_finished()
    without = [beat for beat in bench.beats.beats[accepted:] if beat.strb]
    assert not without, "strobes in words that nobody sent"
    bench.apply(accepted)
    size = bench.config.bus_bytes
    bench.expected[failing : failing + size] = bench.memory.bytes[failing : failing + size]  # nobody writes there
    bench.assert_memory()
    await works_after_reset(bench)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.5], moment=[3, 5, 12, 33, 64, 97])
async def stop_in_the_middle(dut, stall, moment):
    bench = Bench(dut, stall)
    bench.source.seed(f"stop {moment}")
    await bench.begin()
    bench.send(Transfer(0x0F80, 700, 9, 1024))
    await ClockCycles(dut.clk, moment + bench.source.randrange(4))
    dut.stop.value = 1
    await RisingEdge(dut.clk)
    dut.stop.value = 0
    await RisingEdge(dut.clk)
    offered, accepted = bench.addresses.offers, bench.words.beats
    if moment % 2:
        bench.words.stop()  # a producer that was stopped as well has no words for the bursts under way
    await bench_idle_after_stop(bench)
    assert bench.addresses.offers == offered, "a new burst after the stop"
    assert bench.words.beats == accepted, "a word was taken after the stop"
    bench.assert_finished()
    assert not bench.error().valid
    assert not any(beat.strb for beat in bench.beats.beats[accepted:]), "strobes in words that nobody sent"
    bench.apply(accepted)
    bench.assert_memory()
    await works_after_reset(bench)


async def bench_idle_after_stop(bench: Bench) -> None:
    for _ in range(5000):
        await RisingEdge(bench.dut.clk)
        if bench.dut.idle.value == 1:
            break
    finished = len(bench.answers.beats)
    await ClockCycles(bench.dut.clk, 80)
    assert bench.dut.idle.value == 1 and len(bench.answers.beats) <= finished + 1


async def works_after_reset(bench: Bench) -> None:
    for stream in (bench.commands, bench.words):
        stream.stop()
    bench.memory.faults = set()
    await reset(bench.dut)
    assert bench.dut.idle.value == 1 and not bench.error().valid
    bench.writes.clear()
    for stream in (bench.commands, bench.words):
        stream.start()
    bench.send(Transfer(0x2FF0, 80, 3, 96))
    await bench.wait_idle()
    bench.apply(len(bench.writes))
    bench.assert_memory()
