"""Descriptor unit: legal and illegal descriptors of every kind against `check_descriptor`, chains, window, cycles."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig
from fineq_hw.control.descriptor_unit import DescriptorUnit
from fineq_hw.control.structs import checked_job_layout
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    FIELDS,
    RESERVED_MASK,
    Refusal,
    check_address,
    check_descriptor,
    decode_descriptor,
    encode_descriptor,
    inner_tiles,
    line_groups,
    region_bytes,
)
from fineq_hw.interface.error_codes import MISALIGNED, OUTSIDE, OVERLAPPED, READ_FAULT, REGIONS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat, result_bytes
from fineq_hw.lib.machine_streams import job_layout, read_word_layout, transfer_layout
from fineq_sim.bench.streams import StreamConsumer, StreamProducer, assert_empty
from fineq_sim.bench.testbench import parameters, random_source, reset, start_clock
from fineq_sim.reference.payloads import find_config


@dataclass
class Legal:
    """A legal descriptor somewhere in a memory window: its fields, its address, the window."""

    fields: dict[str, int]
    address: int
    base: int
    limit: int

    def changed(self, **fields: int) -> bytes:
        return encode_descriptor(**{**self.fields, **fields})


def legal(config: AcceleratorConfig, source: random.Random, **given: int) -> Legal:
    """Sizes from one to the largest, regions without overlap in any order, tight or with gaps, a tight window."""

    def size(largest: int) -> int:
        return source.choice((1, 2, source.randint(1, 40), source.randint(1, largest), largest))

    output_format = source.choice(list(OutputFormat)).value
    fields = {
        "output_format": output_format,
        "function": source.choice(list(ActivationFunction)).value if output_format else 0,
        "early_termination": source.getrandbits(1),
        "interrupt": source.getrandbits(1),
        "last": source.getrandbits(1),
        "tag": source.getrandbits(32),
        "tokens": size(MAX_LAYER_SIZE),
        "channels": size(MAX_LAYER_SIZE),
        "inner": size(config.max_inner_dimension),
        "requantize_multiplier": source.getrandbits(16),
        "requantize_shift": source.getrandbits(6),
        **given,
    }
    row = fields["channels"] * (1 if fields["output_format"] == OutputFormat.INT8.value else 4)
    fields["destination_stride"] = -(-row // ALIGNMENT) * ALIGNMENT + source.choice((0, 0, 16, 4096))
    fields["activation_stride"] = source.choice((0, 16, 1 << 12, source.getrandbits(16) * 16))
    if config.address_bits < 40:  # everything has to fit
        fields |= {name: 1 + fields[name] % 30 for name in ("tokens", "channels", "inner")}
        fields |= {"destination_stride": 128, "activation_stride": 128}
    fields |= given
    sizes = list(region_bytes(fields, config).items())
    source.shuffle(sizes)
    room = (1 << config.address_bits) - sum(size + ALIGNMENT for _, size in sizes)
    assert room > 0, "the regions do not fit the addresses"
    gap = source.choice((0, 0, room // len(sizes) // 2))
    base = place = source.randrange(room // 2) // ALIGNMENT * ALIGNMENT
    addresses = {}
    for region, length in sizes:
        addresses[region] = place
        limit = place + length - 1
        place += -(-length // ALIGNMENT) * ALIGNMENT + source.randint(0, gap) // ALIGNMENT * ALIGNMENT
    address = addresses.pop("descriptor")
    ignored = {region: source.getrandbits(64) for region in REGIONS if region not in dict(sizes)}
    return Legal(fields | ignored | addresses, address, base, limit)


class Bench:
    """The device with a memory of descriptors behind its channel of the read engine."""

    def __init__(self, dut, stall: float = 0.0) -> None:
        self.dut = dut
        self.config: AcceleratorConfig = find_config(parameters()["config"])
        self.layout = checked_job_layout(self.config)
        self.memory: dict[int, bytes] = {}
        self.fetched: list[int] = []
        self.slowest = 0  # cycles from the last word to the offer
        self.commands = StreamConsumer.with_stalls(dut, "commands", stall)
        self.words = StreamProducer.with_stalls(dut, "words", stall)
        self.jobs = StreamConsumer.with_stalls(dut, "jobs", stall)

    @classmethod
    async def begin(cls, dut, stall: float = 0.0) -> Bench:
        bench = cls(dut, stall)
        dut.start.value = 0
        start_clock(dut)
        await reset(dut)
        for each in (bench.commands, bench.words, bench.jobs):
            each.start()
        cocotb.start_soon(bench._serve())
        return bench

    async def _serve(self) -> None:
        """What the read engine does."""
        command_layout, word_layout = transfer_layout(self.config), read_word_layout(self.config)
        size = self.config.bus_bytes
        while True:
            await RisingEdge(self.dut.clk)
            if self.commands.queue:
                command = command_layout.from_bits(self.commands.queue.popleft())
                assert (command.row_bytes, command.rows) == (DESCRIPTOR_BYTES, 1)
                self.fetched.append(command.address)
                stored = self.memory[command.address]
                for start in range(0, DESCRIPTOR_BYTES, size):
                    last = int(start + size == DESCRIPTOR_BYTES)
                    word = int.from_bytes(stored[start : start + size], "little")
                    self.words.send([word_layout.const({"data": word, "row_last": last, "last": last}).as_bits()])

    async def start(self, address: int, base: int, limit: int) -> None:
        self.dut.address.value = address
        self.dut.memory_base.value = base
        self.dut.memory_limit.value = limit
        self.dut.start.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.start.value = 0

    async def take(self):
        """The next payload of the chain."""
        (raw,) = await self.jobs.receive(1, 2000)
        return self.layout.from_bits(raw)

    async def check(self, descriptor: bytes, place: Legal, expected: ErrorCode | None = None) -> ErrorCode:
        """Run one descriptor and compare with the reference, and both with a code that is known beforehand."""
        fields = decode_descriptor(descriptor)
        self.memory = {fields["next"]: bytes(DESCRIPTOR_BYTES)}  # the chain ends there with an error
        self.memory[place.address] = descriptor
        window = place.base, place.limit
        misplaced = check_address(place.address, *window)
        refusal = misplaced or check_descriptor(descriptor, place.address, self.config, *window)
        refusal = refusal or Refusal(ErrorCode.NONE)
        if expected is not None:
            assert refusal.code == expected, f"the reference says {refusal.code.name}, expected is {expected.name}"
        self.fetched.clear()
        words, jobs = len(self.words.cycles), len(self.jobs.cycles)
        await self.start(place.address, *window)
        offer = await self.take()
        if not misplaced:
            last_word = self.words.cycles[words + DESCRIPTOR_BYTES // self.config.bus_bytes - 1]
            self.slowest = max(self.slowest, self.jobs.cycles[jobs] - last_word)
        got = Refusal(ErrorCode(offer.error), offer.detail)
        assert got == refusal, f"got {got}, expected {refusal}: {fields} at {place.address:#x}, window {window}"
        assert offer.address == place.address
        assert self.fetched[:1] == ([] if misplaced else [place.address])
        if refusal.code == ErrorCode.NONE:
            self.compare(offer, fields)
            if not fields["last"]:
                assert (await self.take()).error == ErrorCode.UNKNOWN_OPERATION
        await self.idle()
        return refusal.code

    def compare(self, offer, fields: dict[str, int]) -> None:
        """A job that is offered with the fields of its descriptor."""
        assert offer.tag == fields["tag"]
        wanted = fields | {
            "inner_tiles": inner_tiles(fields["inner"], self.config),
            "line_groups": line_groups(fields["inner"], self.config),
        }
        unread = set(REGIONS) - set(region_bytes(fields, self.config))  # their addresses may be anything
        for name in job_layout(self.config).members.keys() - unread:
            assert getattr(offer.job, name) == wanted[name], f"{name} is {getattr(offer.job, name)}: {wanted}"

    async def idle(self) -> None:
        await ClockCycles(self.dut.clk, 3)
        assert self.dut.busy.value == 0, "busy without a chain"
        assert_empty(self.jobs, self.commands, self.words)


def illegal(config: AcceleratorConfig, good: Legal, source: random.Random) -> Iterator[tuple]:
    """Every way to spoil a legal descriptor: (error code, descriptor, where it lies)."""

    def content(code: str, **fields: int):
        return ErrorCode[code], good.changed(**fields), good

    for operation in (0, 2, 255):
        yield content("UNKNOWN_OPERATION", operation=operation)
    for number in range(max(each.value for each in OutputFormat) + 1, 16):
        yield content("UNKNOWN_OUTPUT_FORMAT", output_format=number)
    for number in range(max(each.value for each in ActivationFunction) + 1, 16):
        yield content("UNKNOWN_FUNCTION", function=number)
    for function in (ActivationFunction.RELU, ActivationFunction.SILU, ActivationFunction.GELU):
        yield content("FUNCTION_WITH_SUMS", output_format=OutputFormat.SUMS.value, function=function.value)
    for size in ("tokens", "channels", "inner"):
        yield content(f"ZERO_{size.upper()}", **{size: 0})
        for value in (MAX_LAYER_SIZE + 1, (1 << 31) + 1, (1 << 32) - 1):
            yield content(f"{size.upper()}_TOO_LARGE", **{size: value})
    if config.max_inner_dimension < MAX_LAYER_SIZE:
        for value in (config.max_inner_dimension + 1, MAX_LAYER_SIZE):
            yield content("INNER_OVERFLOWS", inner=value)
    for stride in ("activation_stride", "destination_stride"):
        for low in (1, 8, source.randrange(1, ALIGNMENT)):
            yield content(f"{stride.upper()}_MISALIGNED", **{stride: good.fields[stride] + low})
    row = good.fields["channels"] * result_bytes(good.fields["output_format"])
    yield content("DESTINATION_STRIDE_TOO_SMALL", destination_stride=(row - 1) // ALIGNMENT * ALIGNMENT)
    yield content("DESTINATION_STRIDE_TOO_SMALL", destination_stride=0)
    for bit in range(8 * DESCRIPTOR_BYTES):
        if RESERVED_MASK >> bit & 1 and source.random() < 0.02:
            number = int.from_bytes(good.changed(), "little") | 1 << bit
            yield ErrorCode.RESERVED_BITS, number.to_bytes(DESCRIPTOR_BYTES, "little"), good
    yield from illegal_regions(config, good, source)


def illegal_regions(config: AcceleratorConfig, good: Legal, source: random.Random) -> Iterator[tuple]:
    """Every region misaligned, outside the window at either end, and overlapped by the destination."""
    sizes = region_bytes(good.fields, config)
    destination = good.fields["destination"]
    top = (1 << config.address_bits) - 1
    everywhere = replace(good, base=0, limit=top)

    def at(kind: int, region: str, start: int, place: Legal):
        code = ErrorCode(kind + REGIONS.index(region))
        if region == "descriptor":
            return code, good.changed(), replace(place, address=start)
        return code, good.changed(**{region: start}), place

    for region, size in sizes.items():
        start = (good.fields | {"descriptor": good.address})[region]
        for low in (1, 8, source.randrange(1, ALIGNMENT)):
            yield at(MISALIGNED, region, start + low, good)
        # One step too far up, just below the window, and where an address or its sum would wrap around.
        beyond = (good.limit - size + 1) // ALIGNMENT * ALIGNMENT + ALIGNMENT
        outside = [beyond, (1 << 64) - ALIGNMENT, start | 1 << 63]
        if good.base:
            outside.append(good.base - ALIGNMENT)
        if config.address_bits < 64:
            outside += [start + (1 << config.address_bits), start + (1 << 63)]
        for wrong in outside:
            yield at(OUTSIDE, region, wrong % (1 << 64), good)
        if size > ALIGNMENT:
            yield at(OUTSIDE, region, top + 1 - (size - 1) // ALIGNMENT * ALIGNMENT, everywhere)
        if region != "destination":
            last = destination + sizes["destination"] - 1
            overlapping = [last // ALIGNMENT * ALIGNMENT, destination]
            before = destination - -(-size // ALIGNMENT) * ALIGNMENT + ALIGNMENT
            if before >= 0:
                overlapping.append(before)
            for wrong in overlapping:
                if wrong + size - 1 <= top:
                    yield at(OVERLAPPED, region, wrong, everywhere)


DESCRIPTOR_ERRORS = {code for code in ErrorCode if ErrorCode.NONE < code < READ_FAULT}


@cocotb.test()
async def refuses_what_is_illegal(dut):
    """Illegal in every field; each answered with the code that belongs to it."""
    source = random_source("illegal")
    bench = await Bench.begin(dut)
    seen = set()
    for round_number in range(3):
        good = legal(bench.config, source, last=0, output_format=1 + round_number % 2)
        await bench.check(good.changed(), good, ErrorCode.NONE)
        for code, descriptor, place in illegal(bench.config, good, source):
            seen.add(await bench.check(descriptor, place, code))
        await bench.check(good.changed(), good, ErrorCode.NONE)
    never = DESCRIPTOR_ERRORS - seen
    assert never <= ({ErrorCode.INNER_OVERFLOWS} if bench.config.max_inner_dimension == MAX_LAYER_SIZE else set())


@cocotb.test()
async def refuses_every_reserved_bit(dut):
    source = random_source("reserved")
    bench = await Bench.begin(dut)
    good = legal(bench.config, source)
    number = int.from_bytes(good.changed(), "little")
    for bit in range(8 * DESCRIPTOR_BYTES):
        if RESERVED_MASK >> bit & 1:
            spoiled = (number | 1 << bit).to_bytes(DESCRIPTOR_BYTES, "little")
            await bench.check(spoiled, good, ErrorCode.RESERVED_BITS)
    for _ in range(100):  # several at once: the first word is told
        spoiled = number | RESERVED_MASK & sum(1 << source.randrange(8 * DESCRIPTOR_BYTES) for _ in range(12))
        await bench.check(spoiled.to_bytes(DESCRIPTOR_BYTES, "little"), good)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def accepts_what_is_legal(dut, stall):
    source = random_source(f"legal {stall}")
    bench = await Bench.begin(dut, stall)
    largest = dict(tokens=MAX_LAYER_SIZE, channels=MAX_LAYER_SIZE, inner=bench.config.max_inner_dimension)
    largest |= {"output_format": OutputFormat.FIXED.value, "last": 0}
    for number in range(60):
        fits = number == 0 and bench.config.address_bits >= 40
        good = legal(bench.config, source, **(largest if fits else {}))
        await bench.check(good.changed(), good, ErrorCode.NONE)
    if not stall:
        dut._log.info("at most %d cycles from the last word to the job", bench.slowest)
        assert bench.slowest <= DescriptorUnit.MAX_CHECK_CYCLES


@cocotb.test()
async def agrees_with_the_reference_on_anything(dut):
    """Fields from a list of awkward values: legal and illegal mixed, sums that must not wrap around."""
    source = random_source("anything")
    bench = await Bench.begin(dut)
    verdicts = set()
    for _ in range(250):
        good = legal(bench.config, source)
        top = (1 << bench.config.address_bits) - 1
        starts = [good.fields[region] for region in REGIONS if region in good.fields] + [good.address]
        ends = [start + size - 1 for start, size in zip(starts, [source.randrange(4096) for _ in starts], strict=True)]
        awkward = [0, 16, 1, top, top - 15, top - 127, 1 << 63, (1 << 64) - 128, *starts, *ends]
        fields = dict(good.fields)
        for name in source.sample(list(fields), source.choice((1, 1, 2, 3))):
            width = FIELDS[name].width
            if width == 64:
                values = awkward + [value // ALIGNMENT * ALIGNMENT for value in awkward]
            else:
                values = [0, 1, (1 << width) - 1, (1 << width) - 16, 1 << (width - 1), 1 << (width // 2)]
                values += [(1 << width // 2) - 1]
            fields[name] = source.choice(values) % (1 << width)
        if fields["next"] == good.address:
            continue  # a chain without end
        place = source.choice((good, replace(good, base=0, limit=top)))
        verdicts.add(await bench.check(encode_descriptor(**fields), place))
    assert ErrorCode.NONE in verdicts and len(verdicts) > 10


@cocotb.test()
async def extents_do_not_wrap_around(dut):
    """Extents beyond the addresses are outside, however small their low bits are."""
    source = random_source("largest")
    bench = await Bench.begin(dut)
    bits = bench.config.address_bits
    good = legal(bench.config, source, tokens=1, channels=1, inner=1, last=1, output_format=1)
    everywhere = replace(good, base=0, limit=(1 << bits) - 1)
    for exponent in range(16, 32):
        for tokens in (1 << 15 | 1, 1 << 12 | 1, MAX_LAYER_SIZE):
            for region, name in (("destination", "destination_stride"), ("activations", "activation_stride")):
                descriptor = good.changed(tokens=tokens, **{name: 1 << exponent})
                beyond = (tokens - 1) << exponent >= 1 << bits
                expected = ErrorCode[f"{region.upper()}_OUTSIDE"] if beyond and tokens != MAX_LAYER_SIZE else None
                await bench.check(descriptor, everywhere, None if name == "activation_stride" else expected)
    largest = {"tokens": MAX_LAYER_SIZE, "channels": MAX_LAYER_SIZE, "inner": bench.config.max_inner_dimension}
    for stride in ((1 << 32) - ALIGNMENT, 4 * MAX_LAYER_SIZE + 4):
        await bench.check(good.changed(**largest, destination_stride=stride), everywhere)


@cocotb.test()
async def fetches_ahead(dut):
    """While a job is not done the next descriptor is fetched and checked, no further one; errors wait their turn."""
    source = random_source("chain")
    bench = await Bench.begin(dut)
    top = (1 << bench.config.address_bits) - 1
    places = []
    for _ in range(4):
        good = legal(bench.config, source, last=0, tokens=2, channels=3, inner=4)
        places.append(replace(good, base=0, limit=top))
    for number, place in enumerate(places[:-1]):
        place.fields["next"] = places[number + 1].address
    places[-1].fields["last"] = 1
    for spoiled in (None, 2, 1):
        chain = [place.changed(**({"inner": 0} if number == spoiled else {})) for number, place in enumerate(places)]
        refusals = [
            check_descriptor(raw, place.address, bench.config, 0, top) for raw, place in zip(chain, places, strict=True)
        ]
        assert [index for index, refusal in enumerate(refusals) if refusal] == ([] if spoiled is None else [spoiled])
        bench.memory = {place.address: raw for raw, place in zip(chain, places, strict=True)}
        bench.fetched.clear()
        bench.jobs.stop()
        await bench.start(places[0].address, 0, top)
        for number, place in enumerate(places):
            await ClockCycles(dut.clk, 400)
            ahead = number + 2 if spoiled is None else min(number + 2, spoiled + 1)  # no chain beyond an error
            assert bench.fetched == [each.address for each in places[:ahead]]
            assert dut.jobs__valid.value == 1 and dut.busy.value == 1
            offer = bench.layout.from_bits(int(dut.jobs__payload.value))
            assert offer.address == place.address
            dut.jobs__ready.value = 1
            await RisingEdge(dut.clk)
            dut.jobs__ready.value = 0
            if number == spoiled:
                assert offer.error == ErrorCode.ZERO_INNER
                break
            assert offer.error == ErrorCode.NONE
            bench.compare(offer, place.fields)
        await bench.idle()
        bench.jobs.start()
