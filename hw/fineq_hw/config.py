"""Named hardware configurations: every parameter of the array stands here and nowhere else.

The RTL, the testbenches, the cycle model, the synthesis flow and the documents all take a configuration
from this file, so a size is changed in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS, CLUSTER_WEIGHTS, MAX_MAGNITUDE
from fineq.format.temporal import ENCODINGS, STEP_BITS, line_order

SIGN_HANDLING: tuple[str, ...] = ("row", "column")
"""Where the sign of a weight is applied.

`row`: in every row's accumulator, as the paper describes it (an XOR per processing element).
`column`: once per column in the encoder, which sends a positive and a negative pulse line; each processing
element then selects the activation, its complement or zero.
"""

ROW_SIGN_ENCODINGS: tuple[str, ...] = tuple(encoding for encoding in ENCODINGS if STEP_BITS[encoding] == 1)
"""Encodings that know sign handling `row`; the others apply the sign before they multiply by two."""


def name_part(text: str) -> str:
    """A text, such as the name of an encoding, in the names of configurations and modules: without hyphens."""
    return text.replace("-", "_")


ADDER_TREES: tuple[str, ...] = ("structural", "behavioural")
"""`structural`: explicit full and half adders, for synthesis. `behavioural`: `+`, for fast simulation."""

ACTIVATION_STORAGE: tuple[str, ...] = ("gated-flop", "latch")
"""What keeps the stationary activations. `gated-flop`: flip-flops with an enable per row, which synthesis puts
behind a clock gate. `latch`: latches, smaller, behind one register for the incoming row; not for FPGAs.
"""

MAC_WEIGHT_BITS: tuple[int, ...] = (3, 8)

MAC_WEIGHT_PATHS: tuple[str, ...] = ("systolic", "broadcast")
"""How a weight reaches the rows of the MAC array. `systolic`: registered in every processing element and
passed down. `broadcast`: one wire per column to all rows, as in the temporal array; fewer registers.
"""


def _check_integer(config: object, name: str, low: int, high: int) -> None:
    value = getattr(config, name)
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}: it must be an integer between {low} and {high}")


def _check_choice(config: object, name: str, known: tuple) -> None:
    value = getattr(config, name)
    if value not in known:
        raise ValueError(f"{name} is {value!r}: choose one of {', '.join(map(str, known))}")


def _check_array(config: ArrayConfig | MacConfig) -> None:
    """Limits that every array shares: those of the generators, far beyond what anybody would lay out."""
    for name in ("rows", "columns"):
        _check_integer(config, name, 1, 1024)
    _check_integer(config, "activation_bits", 2, 16)
    _check_integer(config, "accumulator_bits", 4, 64)
    _check_choice(config, "activation_storage", ACTIVATION_STORAGE)


@dataclass(frozen=True)
class ArrayConfig:
    """Parameters of the temporal-coding array (paper Section IV-C; Table III: 64 x 64).

    Attributes:
        rows: activation vectors held at once (tokens).
        columns: activations of one vector held at once; lanes of a weight vector.
        activation_bits: width of a signed activation.
        accumulator_bits: width of a signed partial sum.
        encoding: temporal code, one of `fineq.format.temporal.ENCODINGS`.
        sign_handling: one of `SIGN_HANDLING`.
        adder_tree: one of `ADDER_TREES`.
        activation_storage: one of `ACTIVATION_STORAGE`.

    Raises:
        ValueError: a parameter is impossible; the text says which and what is allowed.
    """

    rows: int = 64
    columns: int = 64
    activation_bits: int = 8
    accumulator_bits: int = 24
    encoding: str = "unary"
    sign_handling: str = "row"
    adder_tree: str = "structural"
    activation_storage: str = "gated-flop"

    def __post_init__(self) -> None:
        _check_array(self)
        _check_choice(self, "encoding", ENCODINGS)
        _check_choice(self, "sign_handling", SIGN_HANDLING)
        _check_choice(self, "adder_tree", ADDER_TREES)
        if self.sign_handling == "row" and self.encoding not in ROW_SIGN_ENCODINGS:
            raise ValueError(
                f"sign_handling is 'row' with encoding {self.encoding!r}: only {' and '.join(ROW_SIGN_ENCODINGS)} have "
                "one operand a column whose sign the accumulator can apply, choose column"
            )
        if self.max_inner_dimension < self.columns:
            raise ValueError(
                f"accumulator_bits is {self.accumulator_bits}: a sum over {self.columns} columns can overflow it, "
                f"use at least {self.minimum_accumulator_bits(self.columns)}"
            )

    @property
    def max_activation_magnitude(self) -> int:
        """Largest magnitude of a signed activation (the most negative one)."""
        return 1 << (self.activation_bits - 1)

    @property
    def max_inner_dimension(self) -> int:
        """Largest K whose sum of products cannot overflow the accumulator."""
        return ((1 << (self.accumulator_bits - 1)) - 1) // (self.max_activation_magnitude * MAX_MAGNITUDE)

    def minimum_accumulator_bits(self, inner_dimension: int) -> int:
        """Accumulator width that holds any sum of `inner_dimension` products."""
        return (inner_dimension * self.max_activation_magnitude * MAX_MAGNITUDE).bit_length() + 1

    @property
    def line_weights(self) -> int:
        """Weights in one weight-buffer line: the least whole number of blocks and of weight vectors.

        64 columns: 192 weights, 8 blocks, 56 bytes, 64 decoders, 3 slices of 64.
        """
        return lcm(self.columns, BLOCK_WEIGHTS)

    @property
    def line_blocks(self) -> int:
        return self.line_weights // BLOCK_WEIGHTS

    @property
    def line_bytes(self) -> int:
        return self.line_blocks * BLOCK_BYTES

    @property
    def line_slices(self) -> int:
        """Weight vectors in one line."""
        return self.line_weights // self.columns

    @property
    def line_order(self) -> tuple[int, ...]:
        """Which weight of a line stands in each column of slice 0, then of slice 1 and so on: `fineq.format.temporal`.

        Whoever tiles a layer orders the inner dimension of the activations accordingly:
        `fineq.format.temporal.input_order`.
        """
        return line_order(self.columns, self.encoding)

    @property
    def line_decoders(self) -> int:
        """Decoders that turn one line into weights in one cycle (paper: 64)."""
        return self.line_weights // CLUSTER_WEIGHTS


@dataclass(frozen=True)
class MacConfig:
    """Parameters of the systolic MAC baseline: the same array with multipliers (paper Table III, first row).

    Attributes:
        rows, columns, activation_bits, accumulator_bits: as in `ArrayConfig`.
        weight_bits: 8 (signed two's complement) or 3 (the format's sign-magnitude weight).
        weight_path: one of `MAC_WEIGHT_PATHS`.
        activation_storage: one of `ACTIVATION_STORAGE`.
    """

    rows: int = 64
    columns: int = 64
    activation_bits: int = 8
    accumulator_bits: int = 32
    weight_bits: int = 8
    weight_path: str = "systolic"
    activation_storage: str = "gated-flop"

    def __post_init__(self) -> None:
        _check_array(self)
        _check_choice(self, "weight_bits", MAC_WEIGHT_BITS)
        _check_choice(self, "weight_path", MAC_WEIGHT_PATHS)
        needed = (self.columns * self.max_product_magnitude).bit_length() + 1
        if self.accumulator_bits < needed:
            raise ValueError(
                f"accumulator_bits is {self.accumulator_bits}: a sum over {self.columns} columns can overflow it, "
                f"use at least {needed}"
            )

    @property
    def max_product_magnitude(self) -> int:
        """Largest magnitude of one product."""
        max_weight = MAX_MAGNITUDE if self.weight_bits == 3 else 1 << (self.weight_bits - 1)
        return max_weight << (self.activation_bits - 1)

    @property
    def max_inner_dimension(self) -> int:
        """Largest K whose sum of products cannot overflow the accumulator."""
        return ((1 << (self.accumulator_bits - 1)) - 1) // self.max_product_magnitude


_VARIANTS: dict[str, ArrayConfig] = {
    "": ArrayConfig(),
    "_latch": ArrayConfig(activation_storage="latch"),
    "_column": ArrayConfig(sign_handling="column"),
    "_column_latch": ArrayConfig(sign_handling="column", activation_storage="latch"),
} | {
    "_" + name_part(encoding): ArrayConfig(encoding=encoding, sign_handling="column", activation_storage="latch")
    for encoding in ENCODINGS
    if encoding != ArrayConfig.encoding
}
"""Ends of names: the paper's array, then each encoding at its smallest."""

ARRAYS: dict[str, ArrayConfig] = {
    f"fineq_{rows}x{columns}{suffix}": replace(variant, rows=rows, columns=columns)
    for rows, columns in ((64, 64), (16, 16), (5, 7))
    for suffix, variant in _VARIANTS.items()
} | {"fineq_8x24": ArrayConfig(rows=8, columns=24)}
"""Temporal-coding arrays by name."""

MACS: dict[str, MacConfig] = {
    f"mac8x{bits}_{rows}x{columns}{'' if path == 'systolic' else '_' + path}{suffix}": MacConfig(
        rows=rows,
        columns=columns,
        weight_bits=bits,
        accumulator_bits=32 if bits == 8 else 24,
        weight_path=path,
        activation_storage=storage,
    )
    for suffix, storage in (("", "gated-flop"), ("_latch", "latch"))
    for rows, columns in ((64, 64), (16, 16), (5, 7))
    for bits in MAC_WEIGHT_BITS
    for path in MAC_WEIGHT_PATHS
}
"""Systolic MAC baselines by name, such as `mac8x3_64x64` or `mac8x8_16x16_broadcast_latch`."""


BUS_BITS: tuple[int, ...] = (64, 128)
"""Widths of the accelerator's memory bus."""

VECTOR_WORDS: tuple[int, ...] = (1, 2, 4)
"""Widths of the vector unit, in bus words of 32-bit results."""

ALIGNMENT = 16
"""Addresses, strides and padded records in the accelerator's memory are multiples of so many bytes."""

TRANSFER_ROW_BITS = 24
"""Bits of the size of one contiguous piece that a DMA engine moves."""

MAX_LAYER_SIZE = 0xFFFF
"""Largest number of tokens, of output channels and of inputs of one descriptor."""


def aligned(size: int) -> int:
    """`size` rounded up to the memory's alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class AcceleratorConfig:
    """Parameters of the whole accelerator around an array (paper Fig. 5(a)).

    Attributes:
        array: the temporal-coding array, or the MAC array of the baseline.
        bus_bits: data width of the AXI4 memory port, one of `BUS_BITS`.
        address_bits: width of a memory address.
        channels_per_tile: output channels worked off before the array takes other inputs: depth of each half
            of the weight buffer and of the output buffer.
        final_channels: a job ends with at most so many channels, so that little is left to write when the array is
            done: its last tile is worked off in two portions. A power of two that divides `channels_per_tile`.
        vector_words: bus words of 32-bit results that the vector unit works out in a cycle, one of `VECTOR_WORDS`.
            The bus takes one of them a cycle; of 8-bit results it takes four.
        max_burst_beats: longest AXI4 burst.
        outstanding_reads: read bursts in flight.

    Raises:
        ValueError: a parameter is impossible; the text says which and what is allowed.
    """

    array: ArrayConfig | MacConfig
    bus_bits: int = 128
    address_bits: int = 40
    channels_per_tile: int = 512
    final_channels: int = 128
    vector_words: int = 1
    max_burst_beats: int = 16
    outstanding_reads: int = 8

    def __post_init__(self) -> None:
        if self.array.activation_bits != 8:
            raise ValueError(
                f"activation_bits is {self.array.activation_bits}: the accelerator's buffers hold one activation "
                "a byte, use 8"
            )
        if self.array.accumulator_bits > 32:
            raise ValueError(f"accumulator_bits is {self.array.accumulator_bits}: results have 32 bits, use at most 32")
        _check_choice(self, "bus_bits", BUS_BITS)
        _check_integer(self, "address_bits", 16, 64)
        _check_integer(self, "channels_per_tile", ALIGNMENT, 4096)
        if self.channels_per_tile % ALIGNMENT:
            raise ValueError(
                f"channels_per_tile is {self.channels_per_tile}: it must be a multiple of {ALIGNMENT}, so that every "
                "tile of the result starts aligned"
            )
        _check_integer(self, "final_channels", ALIGNMENT, self.channels_per_tile)
        if self.channels_per_tile % self.final_channels or self.final_channels.bit_count() != 1:
            raise ValueError(
                f"final_channels is {self.final_channels}: it must be a power of two that divides channels_per_tile, "
                f"{self.channels_per_tile}"
            )
        chunk = aligned(self.channels_per_tile * self.line_bytes)
        if chunk >> TRANSFER_ROW_BITS:
            raise ValueError(
                f"channels_per_tile is {self.channels_per_tile}: lines of {self.line_bytes} bytes for all of them are "
                f"{chunk} bytes, more than the {(1 << TRANSFER_ROW_BITS) - 1} of one transfer; use fewer channels, or "
                "another number of columns"
            )
        _check_choice(self, "vector_words", VECTOR_WORDS)
        _check_choice(self, "max_burst_beats", (1, 2, 4, 8, 16, 32, 64, 128, 256))
        _check_integer(self, "outstanding_reads", 1, 64)

    @property
    def bus_bytes(self) -> int:
        return self.bus_bits // 8

    @property
    def vector_lanes(self) -> int:
        """Results that the vector unit works on in a cycle."""
        return self.vector_words * self.bus_bits // 32

    @property
    def activation_tile_bytes(self) -> int:
        """Bytes in memory of one token's inputs for one tile: one activation a byte, padded."""
        return aligned(self.array.columns)

    @property
    def line_bytes(self) -> int:
        """Bytes in memory of one weight line: what one decoding step turns into `line_slices` weight vectors."""
        if isinstance(self.array, MacConfig):
            return -(-self.array.columns * self.array.weight_bits // 8)
        return self.array.line_bytes

    @property
    def line_slices(self) -> int:
        """Weight vectors in one line."""
        return 1 if isinstance(self.array, MacConfig) else self.array.line_slices

    @property
    def token_tile_bytes(self) -> int:
        """Bytes in memory of the scale records of the tokens of one tile: 4 bytes a token, padded."""
        return aligned(4 * self.array.rows)

    def weight_chunk_bytes(self, channels: int) -> int:
        """Bytes in memory of the lines of `channels` output channels, one line each, padded."""
        return aligned(channels * self.line_bytes)

    @property
    def max_inner_dimension(self) -> int:
        """Largest K: what neither the accumulator nor the descriptor overflows with."""
        return min(self.array.max_inner_dimension, MAX_LAYER_SIZE)


ACCELERATORS: dict[str, AcceleratorConfig] = {
    "accelerator_64x64": AcceleratorConfig(ARRAYS["fineq_64x64"], vector_words=2),
    "accelerator_16x16": AcceleratorConfig(ARRAYS["fineq_16x16"], channels_per_tile=64, final_channels=32),
    "accelerator_8x24": AcceleratorConfig(
        ARRAYS["fineq_8x24"], bus_bits=64, channels_per_tile=32, final_channels=16, outstanding_reads=4
    ),
    "accelerator_5x7": AcceleratorConfig(
        ARRAYS["fineq_5x7_column"],
        bus_bits=64,
        channels_per_tile=16,
        final_channels=16,
        max_burst_beats=4,
        outstanding_reads=2,
    ),
    "accelerator_5x7_cluster": AcceleratorConfig(
        ARRAYS["fineq_5x7_cluster"], bus_bits=64, channels_per_tile=32, final_channels=16, outstanding_reads=2
    ),
    "mac8x8_accelerator_64x64": AcceleratorConfig(MACS["mac8x8_64x64_broadcast"], vector_words=2),
    "mac8x3_accelerator_64x64": AcceleratorConfig(MACS["mac8x3_64x64_broadcast"], vector_words=2),
    "mac8x8_accelerator_5x7": AcceleratorConfig(
        MACS["mac8x8_5x7"], bus_bits=64, channels_per_tile=16, final_channels=16, max_burst_beats=4, outstanding_reads=2
    ),
    "mac8x3_accelerator_16x16": AcceleratorConfig(
        MACS["mac8x3_16x16_broadcast"], channels_per_tile=64, final_channels=32
    ),
}
"""Whole accelerators by name; those with a MAC array are the baseline."""
