"""`fineq_interface.h` and `fineq_interface.c`: what software must know of the machine, in C, from `fineq_hw.interface`.

Names follow one rule: registers are `FINEQ_REG_<NAME>`, their fields `FINEQ_<REGISTER>_<FIELD>_SHIFT` and `_MASK` (of
the 32-bit word, in place), error codes `FINEQ_ERROR_<NAME>`, counters `FINEQ_COUNTER_<NAME>` in the order of their
registers, values of fields `FINEQ_KIND_<NAME>`, `FINEQ_ENCODING_<NAME>`, `FINEQ_OUTPUT_<NAME>` and
`FINEQ_FUNCTION_<NAME>`.
"""

from __future__ import annotations

from collections.abc import Iterator

from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    BLOCK_WEIGHTS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_ALL_NORMAL,
    INDEX_BITS,
    INDEX_BYTES,
    MAX_MAGNITUDE,
    NORMAL_BITS,
    OUTLIER_BITS,
    PAIR_CLUSTERS,
)
from fineq.format.temporal import ENCODINGS
from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.config.mac import MAC_WEIGHT_BITS
from fineq_hw.interface.bit_fields import BitField
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, DESCRIPTOR_FIELDS, OPERATION_LINEAR
from fineq_hw.interface.error_codes import ERROR_TEXTS
from fineq_hw.interface.jobs import FRACTION_BITS, MULTIPLIER_BITS, SHIFT_BITS, ActivationFunction, OutputFormat
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, Record, record_bytes
from fineq_hw.interface.registers import COUNTERS, MAGIC, REGISTERS, VERSION, WORD_BITS, Register

HEADER, SOURCE = "fineq_interface.h", "fineq_interface.c"

_NOTE = "/* FineQ: made by `fineq driver-c` from fineq_hw.interface, which also makes the RTL; do not edit. */"


def constant_name(*parts: str) -> str:
    """An identifier of the header, such as `FINEQ_STATUS_BUSY_SHIFT`."""
    return "_".join(("FINEQ", *(part.upper().replace("-", "_") for part in parts)))


def _define(name: str, value: int, *, digits: int = 0) -> str:
    return f"#define {name} {f'0x{value:0{digits}X}u' if digits else f'{value}u'}"


def _comment(text: str) -> str:
    """A text of the description as a comment of one line."""
    return f"/* {text.replace('*/', '* /')} */"


def _registers() -> Iterator[str]:
    for register in REGISTERS.values():
        yield ""
        yield _comment(register.text)
        yield _define(constant_name("reg", register.name), register.offset, digits=3)
        yield from _fields(register)


def _fields(register: Register) -> Iterator[str]:
    """Fields of a register of one word; a field `value` is the whole register and has no constants."""
    for field in register.fields:
        if register.bits == WORD_BITS and field.name != "value":
            yield _define(constant_name(register.name, field.name, "shift"), field.offset)
            yield _define(constant_name(register.name, field.name, "mask"), field.mask, digits=8)


def _enumeration(name: str, members: dict[str, int], texts: dict[str, str] | None = None) -> Iterator[str]:
    yield ""
    yield f"enum {name} {{"
    for position, (member, value) in enumerate(members.items()):
        comma = "," if position < len(members) - 1 else ""
        text = f" {_comment(texts[member])}" if texts else ""
        yield f"    {member} = {value:#04x}{comma}{text}"
    yield "};"


def c_type(field: BitField) -> str:
    """The smallest type of C that holds a field."""
    bits = next(bits for bits in (8, 16, 32, 64) if field.width <= bits)
    return f"{'int' if field.signed else 'uint'}{bits}_t"


def _structure(name: str, fields: tuple[BitField, ...], text: str) -> Iterator[str]:
    yield ""
    yield _comment(text)
    yield f"struct {name} {{"
    for field in fields:
        yield f"    {c_type(field)} {field.name}; {_comment(f'{field.width} bits. {field.text}'.strip())}"
    yield "};"


RECORDS: dict[str, tuple[Record, int, str]] = {
    "fineq_descriptor": (DESCRIPTOR_FIELDS, DESCRIPTOR_BYTES, "A job, to be encoded by fineq_encode_descriptor."),
    "fineq_channel": (CHANNEL_PARAMETERS, record_bytes(CHANNEL_PARAMETERS), "Scale and bias of an output channel."),
    "fineq_token": (TOKEN_PARAMETERS, record_bytes(TOKEN_PARAMETERS), "Scale of the activations of a token."),
}
"""Structures in memory by their name in C: fields, bytes, what they are."""


def array_kinds() -> dict[str, int]:
    """What the field `kind` of ARRAY_KIND says, by the name of the array's kind."""
    arrays: dict[str, ArrayConfig | MacConfig] = {"temporal": ArrayConfig(), "mac": MacConfig()}
    field = REGISTERS["ARRAY_KIND"].field("kind")
    return {name: field.reset(AcceleratorConfig(array)) for name, array in arrays.items()}


def mac_weights() -> list[MacConfig]:
    """A MAC array for each width of its weights, which decides how they are stored."""
    return [MacConfig(weight_bits=bits) for bits in MAC_WEIGHT_BITS]


_MAC_WEIGHT = (
    "/* Weights of a MAC array: two's complement, or sign-magnitude with the sign on top. */",
    "struct fineq_weight {",
    "    uint8_t bits, twos_complement;",
    "    int8_t low, high;",
    "};",
    "extern const struct fineq_weight fineq_mac_weights[FINEQ_MAC_WEIGHTS];",
)


def header() -> str:
    """The text of `fineq_interface.h`."""
    sizes = {
        "version_major": VERSION[0],
        "version_minor": VERSION[1],
        "alignment": ALIGNMENT,
        "block_bytes": BLOCK_BYTES,
        "block_weights": BLOCK_WEIGHTS,
        "block_clusters": BLOCK_CLUSTERS,
        "index_bytes": INDEX_BYTES,
        "index_bits": INDEX_BITS,
        "index_all_normal": INDEX_ALL_NORMAL,
        "pair_clusters": PAIR_CLUSTERS,
        "cluster_weights": CLUSTER_WEIGHTS,
        "cluster_payload_bits": CLUSTER_PAYLOAD_BITS,
        "normal_bits": NORMAL_BITS,
        "outlier_bits": OUTLIER_BITS,
        "max_magnitude": MAX_MAGNITUDE,
        "encodings": len(ENCODINGS),
        "mac_weights": len(MAC_WEIGHT_BITS),
        "max_layer_size": MAX_LAYER_SIZE,
        "fraction_bits": FRACTION_BITS,
        "multiplier_bits": MULTIPLIER_BITS,
        "shift_bits": SHIFT_BITS,
        "operation_linear": OPERATION_LINEAR,
        "counters": len(COUNTERS),
        **{f"{name.removeprefix('fineq_')}_bytes": size for name, (_, size, _) in RECORDS.items()},
    }
    lines = [_NOTE, "#ifndef FINEQ_INTERFACE_H", "#define FINEQ_INTERFACE_H", "", "#include <stdint.h>", ""]
    lines += ["#ifdef __cplusplus", 'extern "C" {', "#endif", ""]
    lines += [_define(constant_name("magic"), MAGIC, digits=8)]
    lines += [_define(constant_name(name), value) for name, value in sizes.items()]
    lines += _registers()
    texts = {constant_name("error", code.name): text for code, text in ERROR_TEXTS.items()}
    codes = {constant_name("error", code.name): int(code) for code in ERROR_TEXTS}
    lines += _enumeration("fineq_error", codes, texts)
    lines += _enumeration("fineq_kind", {constant_name("kind", name): value for name, value in array_kinds().items()})
    lines += _enumeration(
        "fineq_encoding", {constant_name("encoding", name): number for number, name in enumerate(ENCODINGS)}
    )
    lines += _enumeration("fineq_output", {constant_name("output", each.name): each.value for each in OutputFormat})
    lines += _enumeration(
        "fineq_function", {constant_name("function", each.name): each.value for each in ActivationFunction}
    )
    numbers = {constant_name("counter", counter.name): number for number, counter in enumerate(COUNTERS)}
    lines += _enumeration(
        "fineq_counter", numbers, {constant_name("counter", counter.name): counter.text for counter in COUNTERS}
    )
    for name, (fields, _, text) in RECORDS.items():
        lines += _structure(name, fields, text)
    lines += ["", *_MAC_WEIGHT]
    lines += ["", "/* Little endian, whatever the processor is. */"]
    lines += [
        f"void fineq_encode_{name.removeprefix('fineq_')}"
        f"(uint8_t bytes[{constant_name(name.removeprefix('fineq_'), 'bytes')}], const struct {name} *value);"
        for name in RECORDS
    ]
    lines += ["", "/* The sentence of a code of ERROR or ACCESS_ERROR, and its name; never null. */"]
    lines += ["const char *fineq_error_text(uint32_t code);", "const char *fineq_error_name(uint32_t code);"]
    lines += ["", "/* Name of a counter of enum fineq_counter; never null. */"]
    lines += ["const char *fineq_counter_name(uint32_t counter);"]
    lines += ["", "#ifdef __cplusplus", "}", "#endif", "#endif"]
    return "\n".join(lines) + "\n"


def source() -> str:
    """The text of `fineq_interface.c`."""
    lines = [_NOTE, f'#include "{HEADER}"', ""]
    lines += ["const struct fineq_weight fineq_mac_weights[FINEQ_MAC_WEIGHTS] = {"]
    for array in mac_weights():
        low, high = array.weight_limits
        lines.append(f"    {{{array.weight_bits}u, {int(array.signed_weights)}u, {low}, {high}}},")
    lines.append("};")
    for name, (fields, size, _) in RECORDS.items():
        lines += _encoder(name, fields, size)
    for what in ("text", "name"):
        lines += ["", f"const char *fineq_error_{what}(uint32_t code)", "{", "    switch (code) {"]
        for code, text in ERROR_TEXTS.items():
            lines.append(f"    case {constant_name('error', code.name)}:")
            lines.append(f"        return {_string(text if what == 'text' else code.name)};")
        unknown = "Unknown error code." if what == "text" else "UNKNOWN"
        lines += ["    default:", f"        return {_string(unknown)};", "    }", "}"]
    lines += ["", "const char *fineq_counter_name(uint32_t counter)", "{"]
    lines += ["    static const char *const names[FINEQ_COUNTERS] = {"]
    lines += [f"        {_string(counter.name)}," for counter in COUNTERS]
    lines += ["    };", "", '    return counter < FINEQ_COUNTERS ? names[counter] : "unknown";', "}"]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _encoder(name: str, fields: tuple[BitField, ...], size: int) -> Iterator[str]:
    """Byte after byte, so that neither the byte order nor the padding of the processor matters."""
    short = name.removeprefix("fineq_")
    yield ""
    yield f"void fineq_encode_{short}(uint8_t bytes[{constant_name(short, 'bytes')}], const struct {name} *value)"
    yield "{"
    for number in range(size):
        parts = []
        for field in fields:
            low, high = max(field.offset, 8 * number), min(field.offset + field.width, 8 * number + 8)
            if low < high:
                mask = (1 << (high - low)) - 1
                unsigned = c_type(field).removeprefix("u")
                part = f"(((u{unsigned})value->{field.name} >> {low - field.offset}) & 0x{mask:02X}u)"
                parts.append(f"{part} << {low - 8 * number}" if low > 8 * number else part)
        joined = " | ".join(f"({part})" for part in parts) if parts else "0u"
        yield f"    bytes[{number}] = (uint8_t)({joined});"
    yield "}"
