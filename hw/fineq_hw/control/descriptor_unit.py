"""Fetches job descriptors, checks everything in them and offers the jobs one after another."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import enum, stream
from amaranth.lib.wiring import In, Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.descriptor_contents import content_checks, extent_bits, misaligned, region_extents
from fineq_hw.control.structs import DETAIL_BITS, checked_job_layout
from fineq_hw.control.tile_counts import TileCounts
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, DESCRIPTOR_FIELDS, RESERVED_MASK, WORD_BITS
from fineq_hw.interface.error_codes import (
    ERROR_CODE_BITS,
    MISALIGNED,
    OUTSIDE,
    OVERLAPPED,
    REGIONS,
    ErrorCode,
)
from fineq_hw.interface.jobs import POINTER_BITS, SIZE_BITS, OutputFormat
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.machine_streams import read_word_layout, transfer_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis

_REGION_NUMBERS = {name: number for number, name in enumerate(REGIONS)}


class _State(enum.Enum, shape=4):  # type: ignore[call-arg]  # Amaranth reads the shape
    """Steps of the work on one descriptor. From OPERANDS to REGION once for each region."""

    IDLE = 0
    ADDRESS = 1
    """Check the address of the first descriptor."""
    COMMAND = 2
    """Ask for the descriptor."""
    WORDS = 3
    """Take it."""
    CONTENTS = 4
    """Check everything that needs no region."""
    OPERANDS = 5
    """Of the extent of the region on turn, as soon as they are known."""
    MULTIPLY = 6
    """Work the extent out."""
    END = 7
    """Last byte of the region."""
    REGION = 8
    """Check it."""
    OFFER = 9
    """The job, or what is wrong with the descriptor."""


class DescriptorUnit(VerilogComponent):
    """Works through a chain of descriptors; while a job runs, the next descriptor is fetched and checked.

    Everything is checked in the order of `interface.descriptors.check_descriptor`. One adder multiplies bit by bit
    and one subtractor divides bit by bit beside it, since nobody waits for the result but at the start of a chain:
    at most `MAX_CHECK_CYCLES` after the last word. No arithmetic wraps around.

    Ports:
        start: for one cycle: begin the chain whose first descriptor is at `address`. Only while not `busy`.
        memory_base, memory_limit: first and last byte of the memory window; held still while `busy`.
        commands, words: a channel of the read engine.
        jobs: in the order of the chain, out of a register, which may hold the job until it is done: the next one is
            fetched meanwhile. After a payload with an error, or with the flag `last`, no more come.
        busy: until the last payload of the chain has been taken.
    """

    KIND = "descriptor_unit"
    ROLE = Role(MachineBlock.CONTROL, Synthesis.KEEP)

    MAX_CHECK_CYCLES = 100

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "address": In(POINTER_BITS),
                "memory_base": In(config.address_bits),
                "memory_limit": In(config.address_bits),
                "commands": Out(stream.Signature(transfer_layout(config))),
                "words": In(stream.Signature(read_word_layout(config))),
                "jobs": Out(stream.Signature(checked_job_layout(config))),
                "busy": Out(1),
            }
        )
        # The descriptor in hand: how far it is, where it lies, what is in it, what is wrong with it.
        self._state = Signal(_State)
        self._pointer = Signal(POINTER_BITS)
        self._fields = {field.name: Signal(field.width, name=field.name) for field in DESCRIPTOR_FIELDS}
        self._error = Signal(ERROR_CODE_BITS)
        self._detail = Signal(DETAIL_BITS)
        # What is worked out from it: bytes of the results of one token, numbers of tiles.
        self._row_bytes = Signal(SIZE_BITS + 2)
        self._counts = TileCounts(config)
        # For the one cycle in which everything that needs no region has been found legal.
        self._contents_legal = Signal()
        # The region on turn, its number in REGIONS and its bytes.
        self._region = Signal(range(len(REGIONS)))
        self._extent = Signal(extent_bits(config))

    @property
    def module_parameters(self) -> tuple[object, ...]:
        """What is computed depends on every size of the memory image."""
        config, array = self.config, self.config.array
        sizes = (f"{array.rows}x{array.columns}", f"{config.line_bytes}x{config.line_slices}")
        return (*sizes, config.max_inner_dimension, config.bus_bits, config.address_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.busy.eq((self._state != _State.IDLE) | self.jobs.valid)
        self._begin(m)
        self._fetch(m)
        self._check_contents(m)
        self._counts.drive(m, start=self._contents_legal, inner=self._fields["inner"], tokens=self._fields["tokens"])
        self._measure_region(m)
        with m.If(self._contents_legal):
            m.d.sync += self._region.eq(0)
        self._check_region(m)
        self._offer(m)
        return m

    def _refuse(self, m: Module, code: ErrorCode | Value) -> None:
        """The next step is to offer an error."""
        m.d.sync += [self._error.eq(code), self._state.eq(_State.OFFER)]

    def _begin(self, m: Module) -> None:
        """IDLE and ADDRESS: the first descriptor of a chain."""
        with m.If((self._state == _State.IDLE) & self.start):
            m.d.sync += [self._pointer.eq(self.address), self._state.eq(_State.ADDRESS)]
            m.d.sync += [self._error.eq(ErrorCode.NONE), self._detail.eq(0)]
        with m.If(self._state == _State.ADDRESS):
            last_byte = Signal(POINTER_BITS + 1)
            m.d.comb += last_byte.eq(self._pointer + (DESCRIPTOR_BYTES - 1))
            with m.If(misaligned(self._pointer)):
                self._refuse(m, ErrorCode.DESCRIPTOR_MISALIGNED)
            with m.Elif((self._pointer < self.memory_base) | (last_byte > self.memory_limit)):
                self._refuse(m, ErrorCode.DESCRIPTOR_OUTSIDE)
            with m.Else():
                m.d.sync += self._state.eq(_State.COMMAND)

    def _fetch(self, m: Module) -> None:
        """COMMAND and WORDS: fields are taken out of the words as they come; the first reserved bit is remembered."""
        bus_bits, words = self.config.bus_bits, DESCRIPTOR_BYTES // self.config.bus_bytes
        number = Signal(range(words))
        m.d.comb += [
            self.commands.valid.eq(self._state == _State.COMMAND),
            self.commands.payload.address.eq(self._pointer),
            self.commands.payload.row_bytes.eq(DESCRIPTOR_BYTES),
            self.commands.payload.rows.eq(1),
            self.words.ready.eq(self._state == _State.WORDS),
        ]
        with m.If(self.commands.valid & self.commands.ready):
            m.d.sync += [self._state.eq(_State.WORDS), number.eq(0)]
        with m.If(self.words.valid & self.words.ready):
            m.d.sync += number.eq(number + 1)
            with m.If(self.words.payload.last):
                m.d.sync += self._state.eq(_State.CONTENTS)
            for index in range(words):
                with m.If(number == index):
                    self._take_word(m, self.words.payload.data, index * bus_bits)

    def _take_word(self, m: Module, word: Value, offset: int) -> None:
        """Fields and reserved bits of the bus word that begins at bit `offset` of the descriptor."""
        for field in DESCRIPTOR_FIELDS:
            position = field.offset - offset
            if 0 <= position < len(word):
                m.d.sync += self._fields[field.name].eq(word[position : position + field.width])
        for position in reversed(range(0, len(word), WORD_BITS)):  # later assignments win: the first word
            mask = RESERVED_MASK >> (offset + position) & (1 << WORD_BITS) - 1
            reserved = word[position : position + WORD_BITS] & mask
            with m.If(reserved.any() & (self._error == ErrorCode.NONE)):
                m.d.sync += [
                    self._error.eq(ErrorCode.RESERVED_BITS),
                    self._detail.eq((offset + position) // 8),
                ]

    def _check_contents(self, m: Module) -> None:
        """CONTENTS: everything that needs no region, and bytes of the results of one token."""
        channels, small = self._fields["channels"], self._fields["output_format"] == OutputFormat.INT8
        m.d.comb += self._row_bytes.eq(Mux(small, channels, channels << 2))
        with m.If(self._state == _State.CONTENTS):
            with m.If(self._error != ErrorCode.NONE):  # a reserved bit
                m.d.sync += self._state.eq(_State.OFFER)
            for failed, code in content_checks(self._fields, self._row_bytes, self.config):
                with m.Elif(failed):
                    self._refuse(m, code)
            with m.Else():
                m.d.comb += self._contents_legal.eq(1)
                m.d.sync += self._state.eq(_State.OPERANDS)

    def _measure_region(self, m: Module) -> None:
        """OPERANDS and MULTIPLY: bytes of the region on turn, by shifting and adding."""
        extents = region_extents(self._fields, self._row_bytes, self._counts, self.config)
        operand_ready = Signal()
        multiplier = Signal(SIZE_BITS)
        multiplicand = Signal.like(self._extent)
        with m.If(self._state == _State.OPERANDS):
            with m.Switch(self._region):
                for region, number in _REGION_NUMBERS.items():
                    extent = extents[region]
                    with m.Case(number):
                        m.d.comb += operand_ready.eq(self._counts.known(extent.quotients))
                        m.d.sync += [
                            multiplier.eq(extent.multiplier),
                            multiplicand.eq(extent.multiplicand),
                            self._extent.eq(extent.addend),
                        ]
            with m.If(operand_ready):
                m.d.sync += self._state.eq(_State.MULTIPLY)
        with m.If(self._state == _State.MULTIPLY):
            m.d.sync += [multiplier.eq(multiplier >> 1), multiplicand.eq(multiplicand << 1)]
            with m.If(multiplier[0]):
                m.d.sync += self._extent.eq(self._extent + multiplicand)
            with m.If(multiplier[1:] == 0):
                m.d.sync += self._state.eq(_State.END)

    def _check_region(self, m: Module) -> None:
        """END and REGION: alignment, memory window and overlap with the destination, which is the first on turn."""
        address_bits = self.config.address_bits
        starts = self._fields | {"descriptor": self._pointer}
        first = Signal(POINTER_BITS)
        last = Signal(max(address_bits, len(self._extent)) + 1)
        destination_last = Signal(address_bits)
        is_destination = self._region == _REGION_NUMBERS["destination"]
        with m.Switch(self._region):
            for region, number in _REGION_NUMBERS.items():
                with m.Case(number):
                    m.d.comb += first.eq(starts[region])
        with m.If(self._state == _State.END):
            m.d.sync += [last.eq(first[:address_bits] + self._extent - 1), self._state.eq(_State.REGION)]
        with m.If(self._state == _State.REGION):
            above = first[address_bits:].any() if address_bits < POINTER_BITS else Const(0)
            outside = above | (first < self.memory_base) | (last > self.memory_limit)
            overlaps = (first <= destination_last) & (self._fields["destination"] <= last) & ~is_destination
            with m.If(misaligned(first)):
                self._refuse(m, self._region_error(MISALIGNED))
            with m.Elif(outside):
                self._refuse(m, self._region_error(OUTSIDE))
            with m.Elif(overlaps):
                self._refuse(m, self._region_error(OVERLAPPED))
            with m.Else():
                self._next_region(m)
            with m.If(is_destination):
                m.d.sync += destination_last.eq(last)

    def _region_error(self, kind: int) -> Value:
        """Code of what is wrong with the region on turn."""
        return (self._region + kind)[:ERROR_CODE_BITS]

    def _next_region(self, m: Module) -> None:
        """The parameters are not read for plain sums, and the last descriptor has no next one."""
        number = _REGION_NUMBERS
        m.d.sync += [self._region.eq(self._region + 1), self._state.eq(_State.OPERANDS)]
        with m.If(self._region == number["weights"]):
            with m.If(self._fields["output_format"] == OutputFormat.SUMS):
                m.d.sync += self._region.eq(number["descriptor"])
        with m.If((self._region == number["next"]) | ((self._region == number["descriptor"]) & self._fields["last"])):
            m.d.sync += self._state.eq(_State.OFFER)

    def _offer(self, m: Module) -> None:
        """OFFER: into the output register when it is free, and on to the next descriptor."""
        offer, job, fields = self.jobs.payload, self.jobs.payload.job, self._fields
        ends = fields["last"] | (self._error != ErrorCode.NONE)
        with m.If(self.jobs.ready):
            m.d.sync += self.jobs.valid.eq(0)
        with m.If((self._state == _State.OFFER) & (~self.jobs.valid | self.jobs.ready)):
            m.d.sync += [
                self.jobs.valid.eq(1),
                offer.address.eq(self._pointer),
                offer.tag.eq(fields["tag"]),
                offer.error.eq(self._error),
                offer.detail.eq(self._detail),
                *(job[name].eq(fields[name]) for name in job.shape().members if name in fields),
                job.inner_tiles.eq(self._counts.inner_tiles),
                job.line_groups.eq(self._counts.line_groups),
                # Where the next one lies has been checked already.
                self._pointer.eq(fields["next"]),
                self._state.eq(Mux(ends, _State.IDLE, _State.COMMAND)),
            ]
