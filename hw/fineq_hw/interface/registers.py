"""The accelerator's registers: the one place that says which there are, for the RTL, the driver and docs/registers.md.

Registers are 32-bit words of an AXI4-Lite slave; those of 64 bits are two words, the low one first. The layout of
a job descriptor and what is checked in it: `interface.descriptors`; error codes: `interface.error_codes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from amaranth.hdl import Shape
from amaranth.lib import data

from fineq.format import MAX_MAGNITUDE
from fineq.format.temporal import ENCODINGS
from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig, ArrayConfig, MacConfig

ADDRESS_BITS = 12
"""Width of a register address; the two lowest bits are ignored."""

WORD_BYTES = 4

MAGIC = int.from_bytes(b"FINQ", "big")
"""First register of every accelerator."""

VERSION = (1, 0)
"""Major and minor version of the register map and of the descriptor; a new major one is not compatible."""

KINDS = ("temporal", "mac")
"""Kind of the array, by the number in the register ARRAY."""


class Access(StrEnum):
    """What the bus may do with a field."""

    RO = "RO"
    """Read only."""
    RW = "RW"
    """Read and write."""
    W1C = "W1C"
    """Set by the machine; writing 1 clears it, writing 0 leaves it."""
    W1S = "W1S"
    """Writing 1 starts something; reads as 0."""


@dataclass(frozen=True)
class Field:
    """Some bits of a register.

    Attributes:
        name: unique in its register.
        offset, width: in bits, from the lowest.
        text: one sentence for the document.
        access: what the bus may do with it.
        value: after reset (for an identification always); depends on the configuration if it is a function.
    """

    name: str
    offset: int
    width: int
    text: str
    access: Access = Access.RO
    value: int | Callable[[AcceleratorConfig], int] = 0

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.offset

    def reset(self, config: AcceleratorConfig) -> int:
        return self.value(config) if callable(self.value) else self.value

    def read(self, word: int) -> int:
        """Value of the field in a value of the register."""
        return (word & self.mask) >> self.offset


@dataclass(frozen=True)
class Register:
    """A register: one word, or two if `bits` is 64. `locked`: not writable while the machine is busy."""

    name: str
    offset: int
    text: str
    fields: tuple[Field, ...]
    bits: int = 32
    locked: bool = False

    @property
    def words(self) -> int:
        return self.bits // (8 * WORD_BYTES)

    @property
    def writable(self) -> bool:
        """Whether a write has an effect; otherwise it is answered with an error."""
        return any(field.access is not Access.RO for field in self.fields)

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    def reset(self, config: AcceleratorConfig) -> int:
        return sum(field.reset(config) << field.offset for field in self.fields)

    def encode(self, **values: int) -> int:
        """Value of the register with these fields, the others zero.

        Raises:
            ValueError: a value does not fit its field.
        """
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise ValueError(f"{self.name}.{name} is {value}: the field has {field.width} bits")
            word |= value << field.offset
        return word

    def decode(self, word: int) -> dict[str, int]:
        return {field.name: field.read(word) for field in self.fields}


def _whole(access: Access, text: str = "", value: int | Callable[[AcceleratorConfig], int] = 0, bits: int = 32):
    return (Field("value", 0, bits, text, access, value),)


def _weight_bits(config: AcceleratorConfig) -> int:
    return config.array.weight_bits if isinstance(config.array, MacConfig) else 3


def _encoding(config: AcceleratorConfig) -> int:
    return ENCODINGS.index(config.array.encoding) if isinstance(config.array, ArrayConfig) else 0


_RO, _RW, _W1C, _W1S = Access

_REGISTERS = (
    Register("MAGIC", 0x000, "Tells that this is a FineQ accelerator: the text `FINQ`.", _whole(_RO, value=MAGIC)),
    Register(
        "VERSION",
        0x004,
        "Version of the register map and of the descriptor.",
        (
            Field("minor", 0, 16, "Grows with compatible additions.", value=VERSION[1]),
            Field("major", 16, 16, "Grows when software has to change.", value=VERSION[0]),
        ),
    ),
    Register(
        "ARRAY_SIZE",
        0x008,
        "Size of the array.",
        (
            Field("rows", 0, 16, "Tokens of one tile.", value=lambda config: config.array.rows),
            Field("columns", 16, 16, "Inputs of one tile.", value=lambda config: config.array.columns),
        ),
    ),
    Register(
        "ARRAY_KIND",
        0x00C,
        "What computes in the array.",
        (
            Field(
                "kind",
                0,
                4,
                "0: temporal coding, takes packed FineQ lines; 1: systolic MAC, takes plain weights.",
                value=lambda config: int(isinstance(config.array, MacConfig)),
            ),
            Field(
                "encoding",
                4,
                4,
                "Temporal code: " + ", ".join(f"{number} {name}" for number, name in enumerate(ENCODINGS)) + ".",
                value=_encoding,
            ),
            Field("weight_bits", 8, 8, "Width of a weight in the array.", value=_weight_bits),
            Field(
                "accumulator_bits",
                16,
                8,
                "Width of a signed sum.",
                value=lambda config: config.array.accumulator_bits,
            ),
        ),
    ),
    Register(
        "MEMORY_BUS",
        0x010,
        "The memory port.",
        (
            Field("bus_bytes", 0, 8, "Bytes of a bus word.", value=lambda config: config.bus_bytes),
            Field("address_bits", 8, 8, "Width of an address.", value=lambda config: config.address_bits),
            Field("alignment", 16, 8, "Addresses and strides are multiples of so many bytes.", value=ALIGNMENT),
        ),
    ),
    Register(
        "TILE",
        0x014,
        "How a layer is cut; together with ARRAY_SIZE it determines the memory image of the weights.",
        (
            Field(
                "channels_per_tile",
                0,
                16,
                "Output channels worked off with one filling of the array.",
                value=lambda config: config.channels_per_tile,
            ),
            Field("line_bytes", 16, 16, "Bytes of one weight line.", value=lambda config: config.line_bytes),
        ),
    ),
    Register("MAX_SIZE", 0x018, "Largest M and N of one descriptor.", _whole(_RO, value=MAX_LAYER_SIZE)),
    Register(
        "MAX_INNER",
        0x01C,
        "Largest K of one descriptor: beyond it a sum might overflow the accumulator.",
        _whole(_RO, value=lambda config: config.max_inner_dimension),
    ),
    Register(
        "CONTROL",
        0x020,
        "Commands; several may be given with one write.",
        (
            Field(
                "start",
                0,
                1,
                "Work off the chain of descriptors that begins at DESCRIPTOR. Clears the flags `done`, `job_done` and "
                "`error` of STATUS. Refused while busy, with everything else in the same write.",
                _W1S,
            ),
            Field(
                "soft_reset",
                1,
                1,
                "Abort: transfers under way are brought to an end, then the machine is idle, with the error ABORTED. "
                "Registers and counters keep their values. No effect on an idle machine.",
                _W1S,
            ),
            Field("clear_counters", 2, 1, "Set all performance counters to zero.", _W1S),
        ),
    ),
    Register(
        "STATUS",
        0x024,
        "What the machine is doing and what has happened; the flags stay set until 1 is written to them.",
        (
            Field("busy", 0, 1, "A chain is being worked off, or an abort is not finished."),
            Field("done", 1, 1, "A chain has come to its end without an error.", _W1C),
            Field("error", 2, 1, "The chain was ended by an error: see ERROR. Clearing it clears ERROR too.", _W1C),
            Field(
                "access_error",
                3,
                1,
                "The bus master did what is not allowed: see ACCESS_ERROR. A running chain is not disturbed. Clearing "
                "it clears ACCESS_ERROR too.",
                _W1C,
            ),
            Field("job_done", 4, 1, "A job whose descriptor has the flag `interrupt` is finished.", _W1C),
        ),
    ),
    Register(
        "INTERRUPT_ENABLE",
        0x028,
        "Flags of STATUS, at the same bits, that raise the interrupt as long as they are set.",
        (
            Field("done", 1, 1, "Interrupt on `done`.", _RW),
            Field("error", 2, 1, "Interrupt on `error`.", _RW),
            Field("access_error", 3, 1, "Interrupt on `access_error`.", _RW),
            Field("job_done", 4, 1, "Interrupt on `job_done`.", _RW),
        ),
    ),
    Register("JOBS_DONE", 0x02C, "Jobs finished since reset; wraps around.", _whole(_RO)),
    Register(
        "DESCRIPTOR",
        0x030,
        "Address of the first descriptor of the chain.",
        _whole(_RW, "Read when the chain is started.", bits=64),
        bits=64,
    ),
    Register(
        "CURRENT_DESCRIPTOR",
        0x038,
        "Address of the descriptor that is being worked on, or was last.",
        _whole(_RO, bits=64),
        bits=64,
    ),
    Register(
        "MEMORY_BASE",
        0x040,
        "First byte of the memory window: nothing below it is read or written. Not writable while busy.",
        _whole(_RW, "Bits beyond the width of an address stay zero.", bits=64),
        bits=64,
        locked=True,
    ),
    Register(
        "MEMORY_LIMIT",
        0x048,
        "Last byte of the memory window: nothing above it is read or written. Not writable while busy.",
        _whole(
            _RW,
            "Bits beyond the width of an address stay zero. All ones after reset.",
            value=lambda config: (1 << config.address_bits) - 1,
            bits=64,
        ),
        bits=64,
        locked=True,
    ),
    Register(
        "ERROR",
        0x050,
        "Why the chain ended.",
        (
            Field("code", 0, 8, "See the table of error codes."),
            Field(
                "detail", 8, 8, "With RESERVED_BITS: byte offset in the descriptor of the first word with such a bit."
            ),
        ),
    ),
    Register(
        "ACCESS_ERROR",
        0x054,
        "The first access that was refused.",
        (
            Field("code", 0, 8, "See the table of error codes."),
            Field("register", 16, ADDRESS_BITS, "Address of the register concerned."),
        ),
    ),
    Register(
        "ERROR_ADDRESS",
        0x058,
        "Where the error arose: address on the bus of a failed transfer, otherwise of the descriptor.",
        _whole(_RO, bits=64),
        bits=64,
    ),
    Register("TAG", 0x060, "Tag of the descriptor that was finished last.", _whole(_RO)),
)


@dataclass(frozen=True)
class Counter:
    """A 64-bit performance counter: `event` tells by how much it grows in a cycle."""

    name: str
    text: str
    event: Callable[[AcceleratorConfig], Shape] = lambda config: Shape.cast(1)


STAGES: dict[str, tuple[str, str]] = {
    "memory_access": (
        "a word moves on the read data channel of the bus",
        "reads are asked for or outstanding and no word moves",
    ),
    "decode": (
        "a decoded weight line is written into the weight buffer",
        "the job has lines left to decode, or has just written its last one, and none is written",
    ),
    "preload": (
        "an activation row moves into the array",
        "the array waits for an activation row and none is there",
    ),
    "multiply": (
        "the array executes a step",
        "the array holds activations and executes no step, for want of weights or partial sums, because its "
        "results are not taken, or (MAC array) while the last results leave it",
    ),
    "vector": (
        "a group of sums moves into the vector unit",
        "a group of sums is on offer and the vector unit does not take it",
    ),
    "write_back": (
        "a word moves on the write data channel of the bus",
        "a word is on offer on the write data channel and the memory does not take it",
    ),
}
"""The six stages: when each is busy, and when it is stalled. Otherwise it has nothing to do."""


def _bytes_of_a_word(config: AcceleratorConfig) -> Shape:
    return Shape.cast(range(config.bus_bytes + 1))


COUNTERS: tuple[Counter, ...] = (
    Counter("cycles", "Cycles in which the machine was busy (STATUS)."),
    *(
        Counter(f"{stage}_{what}", f"Cycles in which {text}.")
        for stage, texts in STAGES.items()
        for what, text in zip(("busy", "stall"), texts, strict=True)
    ),
    Counter("weight_vectors", "Weight vectors that the array has taken."),
    Counter(
        "terminated_cycles",
        "Steps saved by early termination: what the array's weight vectors would have taken at full length, less what "
        "they took. Zero with a MAC array.",
        lambda config: Shape.cast(range(MAX_MAGNITUDE + 1)),
    ),
    Counter("tiles", "Fillings of the array with activations."),
    Counter("bytes_read", "Bytes that moved on the read data channel, whole bus words.", _bytes_of_a_word),
    Counter("bytes_written", "Bytes that were written: strobes set on the write data channel.", _bytes_of_a_word),
    Counter("jobs", "Jobs finished."),
)
"""Performance counters in the order of their registers."""

COUNTERS_OFFSET = 0x100


def counter_offset(name: str) -> int:
    """Address of the low word of a counter; reading it holds the high word, at the next address, for the next read.

    Raises:
        ValueError: there is no such counter.
    """
    names = [counter.name for counter in COUNTERS]
    if name not in names:
        raise ValueError(f"there is no counter {name!r}: choose one of {', '.join(names)}")
    return COUNTERS_OFFSET + 8 * names.index(name)


def counter_events_layout(config: AcceleratorConfig) -> data.StructLayout:
    """By how much each counter grows in this cycle, except those that the registers count themselves."""
    return data.StructLayout(
        {counter.name: counter.event(config) for counter in COUNTERS if counter.name not in ("cycles", "jobs")}
    )


REGISTERS: Mapping[str, Register] = {
    register.name: register
    for register in (
        *_REGISTERS,
        *(
            Register(
                f"COUNTER_{counter.name.upper()}", counter_offset(counter.name), counter.text, _whole(_RO, bits=64), 64
            )
            for counter in COUNTERS
        ),
    )
}
"""All registers by name, in the order of their addresses."""
