"""Fetches job descriptors, checks everything in them and offers the jobs one after another."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig
from fineq_hw.control.structs import checked_job_layout
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_FIELDS,
    FIELDS,
    OPERATION_LINEAR,
    RESERVED_MASK,
    WORD_BITS,
    region_bytes,
)
from fineq_hw.interface.error_codes import ERROR_CODE_BITS, MISALIGNED, OUTSIDE, OVERLAPPED, REGIONS, ErrorCode
from fineq_hw.interface.jobs import POINTER_BITS, SIZE_BITS, ActivationFunction, OutputFormat
from fineq_hw.lib.machine_streams import read_word_layout, transfer_layout

_ALIGNMENT_BITS = ALIGNMENT.bit_length() - 1


class _State(enum.Enum, shape=4):
    IDLE = 0
    ADDRESS = 1
    """Check the address of the first descriptor."""
    COMMAND = 2
    WORDS = 3
    CONTENTS = 4
    """Check everything that needs no region."""
    OPERANDS = 5
    """Of the extent of the region on turn, as soon as they are known."""
    MULTIPLY = 6
    END = 7
    """Last byte of the region."""
    REGION = 8
    """Check it."""
    OFFER = 9


class DescriptorUnit(wiring.Component):
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

    @staticmethod
    def module_name(config: AcceleratorConfig) -> str:
        """What is computed depends on every size of the memory image."""
        array = config.array
        return (
            f"fineq_descriptor_unit_{array.rows}x{array.columns}_{config.line_bytes}x{config.line_slices}_"
            f"{config.max_inner_dimension}_{config.bus_bits}_{config.address_bits}"
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        self._state = Signal(_State)
        self._pointer = Signal(POINTER_BITS)  # of the descriptor in hand
        self._error = Signal(ERROR_CODE_BITS)
        self._detail = Signal(8)
        self._fields = {field.name: Signal(field.width, name=field.name) for field in DESCRIPTOR_FIELDS}
        m.d.comb += self.busy.eq((self._state != _State.IDLE) | self.jobs.valid)

        self._elaborate_start(m)
        self._elaborate_fetch(m)
        self._elaborate_contents(m)
        self._elaborate_divisions(m)
        self._elaborate_extents(m)
        self._elaborate_regions(m)
        self._elaborate_offer(m)
        return m

    def _refuse(self, m: Module, code: ErrorCode | Value) -> None:
        m.d.sync += [self._error.eq(code), self._state.eq(_State.OFFER)]

    # -- fetching --------------------------------------------------------------------------------------------

    def _elaborate_start(self, m: Module) -> None:
        with m.If((self._state == _State.IDLE) & self.start):
            m.d.sync += [self._pointer.eq(self.address), self._state.eq(_State.ADDRESS)]
            m.d.sync += [self._error.eq(ErrorCode.NONE), self._detail.eq(0)]
        with m.If(self._state == _State.ADDRESS):
            number = REGIONS.index("descriptor")
            last_byte = Signal(POINTER_BITS + 1)
            m.d.comb += last_byte.eq(self._pointer + (DESCRIPTOR_BYTES - 1))
            with m.If(self._pointer[:_ALIGNMENT_BITS].any()):
                self._refuse(m, ErrorCode(MISALIGNED + number))
            with m.Elif((self._pointer < self.memory_base) | (last_byte > self.memory_limit)):
                self._refuse(m, ErrorCode(OUTSIDE + number))
            with m.Else():
                m.d.sync += self._state.eq(_State.COMMAND)

    def _elaborate_fetch(self, m: Module) -> None:
        """Fields are taken out of the words as they come; the first reserved bit is remembered."""
        bus_bits = self.config.bus_bits
        number = Signal(range(DESCRIPTOR_BYTES // self.config.bus_bytes))
        word = self.words.payload.data
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
            for index in range(DESCRIPTOR_BYTES // self.config.bus_bytes):
                with m.If(number == index):
                    for field in DESCRIPTOR_FIELDS:
                        if field.offset // bus_bits == index:
                            position = field.offset % bus_bits
                            m.d.sync += self._fields[field.name].eq(word[position : position + field.width])
                    self._check_reserved(m, word, index * bus_bits)

    def _check_reserved(self, m: Module, word: Value, offset: int) -> None:
        for position in reversed(range(0, self.config.bus_bits, WORD_BITS)):  # later assignments win: the first word
            mask = RESERVED_MASK >> (offset + position) & (1 << WORD_BITS) - 1
            reserved = word[position : position + WORD_BITS] & mask
            with m.If(reserved.any() & (self._error == ErrorCode.NONE)):
                m.d.sync += [
                    self._error.eq(ErrorCode.RESERVED_BITS),
                    self._detail.eq((offset + position) // 8),
                ]

    # -- what needs no region --------------------------------------------------------------------------------

    def _elaborate_contents(self, m: Module) -> None:
        get = self._fields
        self._row_bytes = Signal(SIZE_BITS + 2)  # results of one token
        m.d.comb += self._row_bytes.eq(
            Mux(get["output_format"] == OutputFormat.INT8.value, get["channels"], get["channels"] << 2)
        )
        sums = get["output_format"] == OutputFormat.SUMS.value
        checks: list[tuple[Value, ErrorCode]] = [
            (get["operation"] != OPERATION_LINEAR, ErrorCode.UNKNOWN_OPERATION),
            (get["output_format"] > max(each.value for each in OutputFormat), ErrorCode.UNKNOWN_OUTPUT_FORMAT),
            (get["function"] > max(each.value for each in ActivationFunction), ErrorCode.UNKNOWN_FUNCTION),
            (sums & (get["function"] != ActivationFunction.NONE.value), ErrorCode.FUNCTION_WITH_SUMS),
        ]
        for size in ("tokens", "channels", "inner"):
            checks += [
                (get[size] == 0, ErrorCode[f"ZERO_{size.upper()}"]),
                (get[size] > MAX_LAYER_SIZE, ErrorCode[f"{size.upper()}_TOO_LARGE"]),
            ]
        checks.append((get["inner"] > self.config.max_inner_dimension, ErrorCode.INNER_OVERFLOWS))
        for stride in ("activation_stride", "destination_stride"):
            checks.append((get[stride][:_ALIGNMENT_BITS].any(), ErrorCode[f"{stride.upper()}_MISALIGNED"]))
        checks.append((get["destination_stride"] < self._row_bytes, ErrorCode.DESTINATION_STRIDE_TOO_SMALL))

        self._contents_legal = Signal()
        with m.If(self._state == _State.CONTENTS):
            with m.If(self._error != ErrorCode.NONE):  # a reserved bit
                m.d.sync += self._state.eq(_State.OFFER)
            for failed, code in checks:
                with m.Elif(failed):
                    self._refuse(m, code)
            with m.Else():
                m.d.comb += self._contents_legal.eq(1)
                m.d.sync += self._state.eq(_State.OPERANDS)

    def _elaborate_divisions(self, m: Module) -> None:
        """inner_tiles, line_groups and token_tiles, rounded up, one after another beside the other checks.

        `_divided` counts the quotients that are there.
        """
        config = self.config
        self._divided = Signal(range(4))
        self._inner_tiles, self._line_groups, self._token_tiles = (
            Signal(SIZE_BITS, name=name) for name in ("inner_tiles", "line_groups", "token_tiles")
        )
        divisors = (config.array.columns, config.line_slices, config.array.rows)
        dividing = Signal()
        bit = Signal(range(SIZE_BITS))
        quotient = Signal(SIZE_BITS)  # dividend shifted out on top, quotient in at the bottom
        remainder = Signal(range(max(divisors)))
        divisor = Signal(range(max(divisors) + 1))
        partial = Signal(range(2 * max(divisors)))
        fits = Signal()
        with m.Switch(self._divided):
            for number, value in enumerate(divisors):
                with m.Case(number):
                    m.d.comb += divisor.eq(value)
        m.d.comb += [
            partial.eq(Cat(quotient[-1], remainder)),
            fits.eq(partial >= divisor),
        ]
        next_remainder = Mux(fits, partial - divisor, partial)
        next_quotient = Cat(fits, quotient[:-1])
        rounded_up = (next_quotient + (next_remainder != 0))[:SIZE_BITS]
        with m.If(dividing):
            m.d.sync += [remainder.eq(next_remainder), quotient.eq(next_quotient), bit.eq(bit + 1)]
            with m.If(bit == SIZE_BITS - 1):
                m.d.sync += [bit.eq(0), remainder.eq(0), self._divided.eq(self._divided + 1)]
                with m.Switch(self._divided):
                    with m.Case(0):
                        m.d.sync += [self._inner_tiles.eq(rounded_up), quotient.eq(rounded_up)]
                    with m.Case(1):
                        m.d.sync += [self._line_groups.eq(rounded_up), quotient.eq(self._fields["tokens"])]
                    with m.Case(2):
                        m.d.sync += [self._token_tiles.eq(rounded_up), dividing.eq(0)]
        with m.If(self._contents_legal):
            m.d.sync += [dividing.eq(1), self._divided.eq(0), quotient.eq(self._fields["inner"])]
            m.d.sync += [bit.eq(0), remainder.eq(0)]  # without parameters, nobody waits for the last quotient

    # -- regions ---------------------------------------------------------------------------------------------

    def _extent_bits(self) -> int:
        """Width of the largest extent of a region."""
        largest = {name: field.mask >> field.offset for name, field in FIELDS.items()}
        largest |= {size: MAX_LAYER_SIZE for size in ("tokens", "channels", "inner")}
        sizes = region_bytes(largest | {"output_format": OutputFormat.FIXED.value, "last": 0}, self.config)
        return max(sizes.values()).bit_length()

    def _elaborate_extents(self, m: Module) -> None:
        """Bytes of the region on turn: multiplier * multiplicand + addend, by shifting and adding."""
        config, get = self.config, self._fields
        self._region = Signal(range(len(REGIONS)))
        self._extent = Signal(self._extent_bits())
        operand_ready = Signal()
        multiplier = Signal(SIZE_BITS)
        multiplicand = Signal.like(self._extent)
        tokens_but_one = (get["tokens"] - 1)[:SIZE_BITS]
        chunk = self._aligned(get["channels"][:SIZE_BITS] * config.line_bytes)
        channel_records = self._aligned(get["channels"][:SIZE_BITS] << 3)
        # multiplier, multiplicand, addend, quotients needed
        extents: dict[str, tuple] = {
            "destination": (tokens_but_one, get["destination_stride"], self._row_bytes, 0),
            "activations": (
                tokens_but_one,
                get["activation_stride"],
                self._inner_tiles * config.activation_tile_bytes,
                1,
            ),
            "weights": (self._line_groups, chunk, 0, 2),
            "channel_parameters": (0, 0, channel_records, 0),
            "token_parameters": (0, 0, self._token_tiles * config.token_tile_bytes, 3),
            "descriptor": (0, 0, DESCRIPTOR_BYTES, 0),
            "next": (0, 0, DESCRIPTOR_BYTES, 0),
        }
        with m.If(self._state == _State.OPERANDS):
            with m.Switch(self._region):
                for number, region in enumerate(REGIONS):
                    first, second, addend, quotients = extents[region]
                    with m.Case(number):
                        m.d.comb += operand_ready.eq(self._divided >= quotients if quotients else 1)
                        m.d.sync += [multiplier.eq(first), multiplicand.eq(second), self._extent.eq(addend)]
            with m.If(operand_ready):
                m.d.sync += self._state.eq(_State.MULTIPLY)
        with m.If(self._state == _State.MULTIPLY):
            m.d.sync += [multiplier.eq(multiplier >> 1), multiplicand.eq(multiplicand << 1)]
            with m.If(multiplier[0]):
                m.d.sync += self._extent.eq(self._extent + multiplicand)
            with m.If(multiplier[1:] == 0):
                m.d.sync += self._state.eq(_State.END)

    @staticmethod
    def _aligned(size: Value) -> Value:
        return Cat(Const(0, _ALIGNMENT_BITS), (size + (ALIGNMENT - 1))[_ALIGNMENT_BITS:])

    def _elaborate_regions(self, m: Module) -> None:
        get, address_bits = self._fields, self.config.address_bits
        first = Signal(POINTER_BITS)
        end_bits = max(address_bits, len(self._extent)) + 1
        last = Signal(end_bits)
        destination_last = Signal(address_bits)
        starts = get | {"descriptor": self._pointer}
        is_destination = self._region == REGIONS.index("destination")
        with m.Switch(self._region):
            for number, region in enumerate(REGIONS):
                with m.Case(number):
                    m.d.comb += first.eq(starts[region])
        with m.If(self._contents_legal):
            m.d.sync += self._region.eq(0)
        with m.If(self._state == _State.END):
            m.d.sync += [last.eq(first[:address_bits] + self._extent - 1), self._state.eq(_State.REGION)]
        with m.If(self._state == _State.REGION):
            above = first[address_bits:].any() if address_bits < POINTER_BITS else Const(0)
            outside = above | (first < self.memory_base) | (last > self.memory_limit)
            overlaps = (first <= destination_last) & (get["destination"] <= last) & ~is_destination
            with m.If(first[:_ALIGNMENT_BITS].any()):
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
        return (self._region + kind)[:8]

    def _next_region(self, m: Module) -> None:
        """The parameters are not read for plain sums, and the last descriptor has no next one."""
        order = {name: number for number, name in enumerate(REGIONS)}
        m.d.sync += [self._region.eq(self._region + 1), self._state.eq(_State.OPERANDS)]
        with m.If(self._region == order["weights"]):
            with m.If(self._fields["output_format"] == OutputFormat.SUMS.value):
                m.d.sync += self._region.eq(order["descriptor"])
        with m.If((self._region == order["next"]) | ((self._region == order["descriptor"]) & self._fields["last"])):
            m.d.sync += self._state.eq(_State.OFFER)

    # -- offering --------------------------------------------------------------------------------------------

    def _elaborate_offer(self, m: Module) -> None:
        """Into the output register when it is free, and on to the next descriptor."""
        offer, job, get = self.jobs.payload, self.jobs.payload.job, self._fields
        ends = get["last"] | (self._error != ErrorCode.NONE)
        with m.If(self.jobs.ready):
            m.d.sync += self.jobs.valid.eq(0)
        with m.If((self._state == _State.OFFER) & (~self.jobs.valid | self.jobs.ready)):
            m.d.sync += [
                self.jobs.valid.eq(1),
                offer.address.eq(self._pointer),
                offer.tag.eq(get["tag"]),
                offer.error.eq(self._error),
                offer.detail.eq(self._detail),
                *(Value.cast(job[name]).eq(get[name]) for name in job.shape().members if name in get),
                job.inner_tiles.eq(self._inner_tiles),
                job.line_groups.eq(self._line_groups),
                # Where the next one lies has been checked already.
                self._pointer.eq(get["next"]),
                self._state.eq(Mux(ends, _State.IDLE, _State.COMMAND)),
            ]
