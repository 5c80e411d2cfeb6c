"""Registers that say what machine this is."""

from __future__ import annotations

from fineq.format.temporal import ENCODINGS
from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.interface.registers.fields import Access, Register, RegisterField, whole

MAGIC = int.from_bytes(b"FINQ", "big")
"""First register of every accelerator."""

VERSION = (1, 1)
"""Major and minor version of the register map and of the descriptor; a new major one is not compatible."""


def _encoding(config: AcceleratorConfig) -> int:
    return ENCODINGS.index(config.array.encoding) if isinstance(config.array, ArrayConfig) else 0


IDENTIFICATION: tuple[Register, ...] = (
    Register("MAGIC", 0x000, "Tells that this is a FineQ accelerator: the text `FINQ`.", whole(Access.RO, value=MAGIC)),
    Register(
        "VERSION",
        0x004,
        "Version of the register map and of the descriptor.",
        (
            RegisterField("minor", 0, 16, "Grows with compatible additions.", value=VERSION[1]),
            RegisterField("major", 16, 16, "Grows when software has to change.", value=VERSION[0]),
        ),
    ),
    Register(
        "ARRAY_SIZE",
        0x008,
        "Size of the array.",
        (
            RegisterField("rows", 0, 16, "Tokens of one tile.", value=lambda config: config.array.rows),
            RegisterField("columns", 16, 16, "Inputs of one tile.", value=lambda config: config.array.columns),
        ),
    ),
    Register(
        "ARRAY_KIND",
        0x00C,
        "What computes in the array.",
        (
            RegisterField(
                "kind",
                0,
                4,
                "0: temporal coding, takes packed FineQ lines; 1: systolic MAC, takes plain weights.",
                value=lambda config: int(isinstance(config.array, MacConfig)),
            ),
            RegisterField(
                "encoding",
                4,
                4,
                "Temporal code: " + ", ".join(f"{number} {name}" for number, name in enumerate(ENCODINGS)) + ".",
                value=_encoding,
            ),
            RegisterField(
                "weight_bits", 8, 8, "Width of a weight in the array.", value=lambda config: config.array.weight_bits
            ),
            RegisterField(
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
            RegisterField("bus_bytes", 0, 8, "Bytes of a bus word.", value=lambda config: config.bus_bytes),
            RegisterField("address_bits", 8, 8, "Width of an address.", value=lambda config: config.address_bits),
            RegisterField("alignment", 16, 8, "Addresses and strides are multiples of so many bytes.", value=ALIGNMENT),
            RegisterField("protection", 24, 3, "AxPROT of every burst.", value=lambda config: config.protection),
            RegisterField("cacheability", 28, 4, "AxCACHE of every burst.", value=lambda config: config.cacheability),
        ),
    ),
    Register(
        "TILE",
        0x014,
        "How a layer is cut; together with ARRAY_SIZE it determines the memory image of the weights.",
        (
            RegisterField(
                "channels_per_tile",
                0,
                16,
                "Output channels worked off with one filling of the array.",
                value=lambda config: config.channels_per_tile,
            ),
            RegisterField("line_bytes", 16, 16, "Bytes of one weight line.", value=lambda config: config.line_bytes),
        ),
    ),
    Register("MAX_SIZE", 0x018, "Largest M and N of one descriptor.", whole(Access.RO, value=MAX_LAYER_SIZE)),
    Register(
        "MAX_INNER",
        0x01C,
        "Largest K of one descriptor: beyond it a sum might overflow the accumulator.",
        whole(Access.RO, value=lambda config: config.max_inner_dimension),
    ),
)
