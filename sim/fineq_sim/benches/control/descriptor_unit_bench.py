"""Descriptor unit: legal and illegal descriptors of every kind against `check_descriptor`, chains, window, cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb

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
from fineq_hw.interface.error_codes import REGIONS, ErrorCode
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.lib.machine_streams import job_layout, read_word_layout, transfer_layout
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import random_source
from fineq_sim.coverage.control import DESCRIPTOR_CODES, RESERVED_BITS, VERDICTS
from fineq_sim.reference.descriptor_samples import Legal, illegal, legal

RULED = (
    *("operation", "output_format", "function", "tokens", "channels", "inner"),
    *("activation_stride", "destination_stride"),
)
"""Fields whose value alone can be against the rules."""


class DescriptorUnitBench(Bench[AcceleratorConfig]):
    """The device with a memory of descriptors behind its channel of the read engine."""

    inputs = ("start", "address", "memory_base", "memory_limit")

    def __init__(self, dut: Any, stall: float = 0.0) -> None:
        super().__init__(dut, stall)
        self.layout = checked_job_layout(self.config)
        self.memory: dict[int, bytes] = {}
        self.fetched: list[int] = []
        self.slowest = 0  # cycles from the last word to the offer
        self.commands, self.words = self.consumer("commands"), self.producer("words")
        self.jobs = self.consumer("jobs")

    async def begin(self) -> None:
        await super().begin()
        self.every_cycle(self._serve)

    def _serve(self) -> None:
        """What the read engine does."""
        if not self.commands.queue:
            return
        command = transfer_layout(self.config).from_bits(self.commands.queue.popleft())
        assert (command.row_bytes, command.rows) == (DESCRIPTOR_BYTES, 1)
        self.fetched.append(command.address)
        stored, size = self.memory[command.address], self.config.bus_bytes
        for start in range(0, DESCRIPTOR_BYTES, size):
            last = int(start + size == DESCRIPTOR_BYTES)
            word = int.from_bytes(stored[start : start + size], "little")
            fields = {"data": word, "row_last": last, "last": last}
            self.words.send([read_word_layout(self.config).const(fields).as_bits()])

    async def start(self, address: int, base: int, limit: int) -> None:
        self.drive(address=address, memory_base=base, memory_limit=limit)
        await self.pulse(start=1)

    async def take(self) -> Any:
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
        VERDICTS.sample(code=got.code.name)
        if got.code == ErrorCode.RESERVED_BITS:
            RESERVED_BITS.sample(word=f"{got.detail:#04x}")
        assert offer.address == place.address
        assert self.fetched[:1] == ([] if misplaced else [place.address])
        if refusal.code == ErrorCode.NONE:
            self.compare(offer, fields)
            if not fields["last"]:
                assert (await self.take()).error == ErrorCode.UNKNOWN_OPERATION
        await self.idle()
        return refusal.code

    def compare(self, offer: Any, fields: dict[str, int]) -> None:
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
        await self.finish(3)
        assert not self.read("busy"), "busy without a chain"


@cocotb.test()
async def refuses_what_is_illegal(dut):
    """Illegal in every field; each answered with the code that belongs to it."""
    source = random_source("illegal")
    tb = await DescriptorUnitBench.begun(dut)
    seen = set()
    for round_number in range(3):
        good = legal(tb.config, source, last=0, output_format=1 + round_number % 2)
        await tb.check(good.changed(), good, ErrorCode.NONE)
        for code, descriptor, place in illegal(tb.config, good, source):
            seen.add(await tb.check(descriptor, place, code))
        await tb.check(good.changed(), good, ErrorCode.NONE)
    never = set(DESCRIPTOR_CODES) - seen
    assert never <= ({ErrorCode.INNER_OVERFLOWS} if tb.config.max_inner_dimension == MAX_LAYER_SIZE else set())


@cocotb.test()
async def refuses_every_reserved_bit(dut):
    source = random_source("reserved")
    tb = await DescriptorUnitBench.begun(dut)
    good = legal(tb.config, source)
    number = int.from_bytes(good.changed(), "little")
    for bit in range(8 * DESCRIPTOR_BYTES):
        if RESERVED_MASK >> bit & 1:
            spoiled = (number | 1 << bit).to_bytes(DESCRIPTOR_BYTES, "little")
            await tb.check(spoiled, good, ErrorCode.RESERVED_BITS)
    for _ in range(100):  # several at once: the first word is told
        several = number | RESERVED_MASK & sum(1 << source.randrange(8 * DESCRIPTOR_BYTES) for _ in range(12))
        await tb.check(several.to_bytes(DESCRIPTOR_BYTES, "little"), good)


@cocotb.test()
async def notices_every_bit(dut):
    """One bit flipped in a field with a rule of its own: any bit may be the one that a comparison forgets."""
    source = random_source("bits")
    tb = await DescriptorUnitBench.begun(dut)
    good = legal(tb.config, source, last=1)
    number = int.from_bytes(good.changed(), "little")
    for name, field in FIELDS.items():
        if name in RULED:
            for bit in range(field.width):
                flipped = number ^ 1 << field.offset + bit
                await tb.check(flipped.to_bytes(DESCRIPTOR_BYTES, "little"), good)


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def accepts_what_is_legal(dut, stall):
    source = random_source(f"legal {stall}")
    tb = await DescriptorUnitBench.begun(dut, stall)
    largest = dict(tokens=MAX_LAYER_SIZE, channels=MAX_LAYER_SIZE, inner=tb.config.max_inner_dimension)
    largest |= {"output_format": OutputFormat.FIXED.value, "last": 0}
    for number in range(60):
        fits = number == 0 and tb.config.address_bits >= 40
        good = legal(tb.config, source, **(largest if fits else {}))
        await tb.check(good.changed(), good, ErrorCode.NONE)
    if not stall:
        dut._log.info("at most %d cycles from the last word to the job", tb.slowest)
        assert tb.slowest <= DescriptorUnit.MAX_CHECK_CYCLES


@cocotb.test()
async def agrees_with_the_reference_on_anything(dut):
    """Fields from a list of awkward values: legal and illegal mixed, sums that must not wrap around."""
    source = random_source("anything")
    tb = await DescriptorUnitBench.begun(dut)
    verdicts = set()
    for _ in range(250):
        good = legal(tb.config, source)
        top = (1 << tb.config.address_bits) - 1
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
        verdicts.add(await tb.check(encode_descriptor(**fields), place))
    assert ErrorCode.NONE in verdicts and len(verdicts) > 10


@cocotb.test()
async def extents_do_not_wrap_around(dut):
    """Extents beyond the addresses are outside, however small their low bits are."""
    source = random_source("largest")
    tb = await DescriptorUnitBench.begun(dut)
    bits = tb.config.address_bits
    good = legal(tb.config, source, tokens=1, channels=1, inner=1, last=1, output_format=1)
    everywhere = replace(good, base=0, limit=(1 << bits) - 1)
    for exponent in range(16, 32):
        for tokens in (1 << 15 | 1, 1 << 12 | 1, MAX_LAYER_SIZE):
            for region, name in (("destination", "destination_stride"), ("activations", "activation_stride")):
                descriptor = good.changed(tokens=tokens, **{name: 1 << exponent})
                beyond = (tokens - 1) << exponent >= 1 << bits
                expected = ErrorCode[f"{region.upper()}_OUTSIDE"] if beyond and tokens != MAX_LAYER_SIZE else None
                await tb.check(descriptor, everywhere, None if name == "activation_stride" else expected)
    largest = {"tokens": MAX_LAYER_SIZE, "channels": MAX_LAYER_SIZE, "inner": tb.config.max_inner_dimension}
    for stride in ((1 << 32) - ALIGNMENT, 4 * MAX_LAYER_SIZE + 4):
        await tb.check(good.changed(**largest, destination_stride=stride), everywhere)


@cocotb.test()
async def fetches_ahead(dut):
    """While a job is not done the next descriptor is fetched and checked, no further one; errors wait their turn."""
    source = random_source("chain")
    tb = await DescriptorUnitBench.begun(dut)
    top = (1 << tb.config.address_bits) - 1
    places = []
    for _ in range(4):
        good = legal(tb.config, source, last=0, tokens=2, channels=3, inner=4)
        places.append(replace(good, base=0, limit=top))
    for number, place in enumerate(places[:-1]):
        place.fields["next"] = places[number + 1].address
    places[-1].fields["last"] = 1
    for spoiled in (None, 2, 1):
        chain = [place.changed(**({"inner": 0} if number == spoiled else {})) for number, place in enumerate(places)]
        refusals = [
            check_descriptor(raw, place.address, tb.config, 0, top) for raw, place in zip(chain, places, strict=True)
        ]
        assert [index for index, refusal in enumerate(refusals) if refusal] == ([] if spoiled is None else [spoiled])
        tb.memory = {place.address: raw for raw, place in zip(chain, places, strict=True)}
        tb.fetched.clear()
        tb.jobs.stop()
        await tb.start(places[0].address, 0, top)
        for number, place in enumerate(places):
            await tb.clock(400)
            ahead = number + 2 if spoiled is None else min(number + 2, spoiled + 1)  # no chain beyond an error
            assert tb.fetched == [each.address for each in places[:ahead]]
            assert dut.jobs__valid.value == 1 and dut.busy.value == 1
            offer = tb.layout.from_bits(int(dut.jobs__payload.value))
            assert offer.address == place.address
            tb.drive(jobs__ready=1)
            await tb.clock()
            tb.drive(jobs__ready=0)
            if number == spoiled:
                assert offer.error == ErrorCode.ZERO_INNER
                break
            assert offer.error == ErrorCode.NONE
            tb.compare(offer, place.fields)
        await tb.idle()
        tb.jobs.start()
