"""A smoke bench in plain Verilog: an accelerator finds its registers, runs one small job, and gives the right sums.

It needs nothing but a simulator. The memory is a file for `$readmemh`; expected sums are worked out here, from the
weights and activations and not by the machine.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from fineq.format import pack
from fineq_hw.config import ALIGNMENT, AcceleratorConfig, MacConfig
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, encode_descriptor
from fineq_hw.interface.jobs import RESULT_BITS, OutputFormat
from fineq_hw.interface.registers import REGISTERS

CODE_FILES = ("smoke.v.txt",)

_TOKENS, _CHANNELS = 2, 3
_BYTES = 4096
"""Of the bench's memory, at least."""


def smoke_bench(top: str, config: AcceleratorConfig) -> dict[str, str]:
    """Texts of the bench and of its memory, by file name."""
    memory, expected = _job(config)
    size = max(_BYTES, 1 << (len(memory) - 1).bit_length())
    words = memory.ljust(size, b"\0")
    hexadecimal = "".join(
        words[start : start + config.bus_bytes][::-1].hex() + "\n" for start in range(0, size, config.bus_bytes)
    )
    registers = {name: register.offset for name, register in REGISTERS.items()}
    identification = {
        name: REGISTERS[name].reset(config) for name in ("MAGIC", "VERSION", "ARRAY_SIZE", "ARRAY_KIND", "MEMORY_BUS")
    }
    checks = [
        f"    check_register(12'h{registers[name]:03x}, 32'h{value:08x});" for name, value in identification.items()
    ]
    results = [f"    check_memory({address}, 32'h{value & 0xFFFFFFFF:08x});" for address, value in expected]
    done, error = (REGISTERS["STATUS"].field(name).mask for name in ("done", "error"))
    text = _template()
    for key, value in {
        "TOP": top,
        "BUS_BITS": config.bus_bits,
        "ADDRESS_BITS": config.address_bits,
        "WORDS": size // config.bus_bytes,
        "WORD_SHIFT": config.bus_bytes.bit_length() - 1,
        "IDENTIFICATION": "\n".join(checks),
        "RESULTS": "\n".join(results),
        "INTERRUPT_ENABLE": f"12'h{registers['INTERRUPT_ENABLE']:03x}",
        "DESCRIPTOR": f"12'h{registers['DESCRIPTOR']:03x}",
        "CONTROL": f"12'h{registers['CONTROL']:03x}",
        "STATUS": f"12'h{registers['STATUS']:03x}",
        "ERROR": f"12'h{registers['ERROR']:03x}",
        "DONE": done,
        "FLAGS": done | error,
        "START": REGISTERS["CONTROL"].field("start").mask,
    }.items():
        text = text.replace(f"@{key}@", str(value))
    return {f"{top}_smoke.v": text, f"{top}_smoke.hex": hexadecimal}


@cache
def _template() -> str:
    return Path(__file__).with_name(*CODE_FILES).read_text(encoding="utf-8")


def _job(config: AcceleratorConfig) -> tuple[bytes, list[tuple[int, int]]]:
    """The memory with a descriptor at 0, and where which sum must be: as many inputs as columns, weights of -1 to 1."""
    columns = config.array.columns
    generator = np.random.default_rng(0)
    weights = generator.integers(-1, 2, (_CHANNELS, columns))
    activations = generator.integers(-128, 128, (_TOKENS, columns))
    sums = activations @ weights.T
    image = b"".join(_line(config, row) for row in weights)
    rows = [bytes(row.astype(np.int8).tobytes()).ljust(config.activation_tile_bytes, b"\0") for row in activations]
    parts = {"activations": b"".join(rows), "weights": image.ljust(config.weight_chunk_bytes(_CHANNELS), b"\0")}
    places, content = {}, bytearray(DESCRIPTOR_BYTES)
    for name, part in parts.items():
        places[name] = len(content)
        content += part.ljust(-(-len(part) // ALIGNMENT) * ALIGNMENT, b"\0")
    stride = -(-_CHANNELS * RESULT_BITS // 8 // ALIGNMENT) * ALIGNMENT
    destination = len(content)
    content += bytes([0xA5]) * stride * _TOKENS
    content[:DESCRIPTOR_BYTES] = encode_descriptor(
        output_format=OutputFormat.SUMS,
        early_termination=1,
        last=1,
        tokens=_TOKENS,
        channels=_CHANNELS,
        inner=columns,
        activation_stride=config.activation_tile_bytes,
        destination=destination,
        destination_stride=stride,
        **places,
    )
    expected = [
        (destination + token * stride + channel * RESULT_BITS // 8, int(sums[token, channel]))
        for token in range(_TOKENS)
        for channel in range(_CHANNELS)
    ]
    return bytes(content), expected


def _line(config: AcceleratorConfig, weights: np.ndarray) -> bytes:
    """A weight line whose first vector has these weights, of magnitude 1 at most, and zeros behind it."""
    array = config.array
    if isinstance(array, MacConfig):
        minus_one = -1 if array.signed_weights else 1 << (array.weight_bits - 1) | 1
        fields = [int(weight) if weight >= 0 else minus_one & ((1 << array.weight_bits) - 1) for weight in weights]
        number = sum(field << (array.weight_bits * place) for place, field in enumerate(fields))
        return number.to_bytes(array.line_bytes, "little")
    codes = np.zeros((1, array.line_weights), dtype=np.int8)
    codes[0, list(array.line_order[: array.columns])] = weights
    return pack(codes).tobytes()
