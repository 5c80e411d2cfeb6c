"""`fineq_hw.interface.descriptors.check_descriptor` as a circuit: rule by rule, in the same order."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Const, Module, Mux, Signal, Value

from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    FIELDS,
    OPERATION_LINEAR,
    RESERVED_MASK,
    WORD_BITS,
)
from fineq_hw.interface.error_codes import MISALIGNED, OUTSIDE, OVERLAPPED, REGIONS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat, result_bytes
from fineq_hw.interface.records import CHANNEL_PARAMETERS, record_bytes

_EXTENT_BITS = 66


def field(descriptor: Value, name: str) -> Value:
    """A field of a descriptor of 1024 bits."""
    found = FIELDS[name]
    return descriptor[found.offset : found.offset + found.width]


def _first(m: Module, rules: list[tuple[Value, Value | int]], name: str) -> Signal:
    """Code of the first rule that is broken, or 0."""
    code = Signal(8, name=name)
    for number, (broken, found) in enumerate(rules):
        with m.If(broken) if number == 0 else m.Elif(broken):
            m.d.comb += code.eq(found)
    return code


def reserved_word(m: Module, descriptor: Value) -> tuple[Value, Signal]:
    """`_check_reserved`: whether a reserved bit is set, and the byte offset of its word."""
    reserved = descriptor & Const(RESERVED_MASK, 8 * DESCRIPTOR_BYTES)
    detail = Signal(8, name="spec_detail")
    words = [reserved.word_select(number, WORD_BITS).any() for number in range(8 * DESCRIPTOR_BYTES // WORD_BITS)]
    for number, broken in enumerate(words):
        with m.If(broken) if number == 0 else m.Elif(broken):
            m.d.comb += detail.eq(number * WORD_BITS // 8)
    return reserved.any(), detail


def _result_bytes(descriptor: Value) -> Value:
    """Bytes of the results of one token."""
    small = field(descriptor, "output_format") == OutputFormat.INT8
    channels = field(descriptor, "channels")
    return Mux(small, channels * result_bytes(OutputFormat.INT8), channels * result_bytes(OutputFormat.FIXED))


def content_code(m: Module, descriptor: Value, config: AcceleratorConfig) -> Signal:
    """`_check_reserved` to `_check_strides`."""

    def value(name: str) -> Value:
        return field(descriptor, name)

    def none_of(name: str, known: type[OutputFormat] | type[ActivationFunction]) -> Value:
        found = Const(0)
        for each in known:
            found = found | (value(name) == each.value)
        return ~found

    sums = value("output_format") == OutputFormat.SUMS
    rules: list[tuple[Value, Value | int]] = [
        (reserved_word(m, descriptor)[0], ErrorCode.RESERVED_BITS),
        (value("operation") != OPERATION_LINEAR, ErrorCode.UNKNOWN_OPERATION),
        (none_of("output_format", OutputFormat), ErrorCode.UNKNOWN_OUTPUT_FORMAT),
        (none_of("function", ActivationFunction), ErrorCode.UNKNOWN_FUNCTION),
        (sums & (value("function") != ActivationFunction.NONE), ErrorCode.FUNCTION_WITH_SUMS),
    ]
    for size in ("tokens", "channels", "inner"):
        rules.append((value(size) == 0, ErrorCode[f"ZERO_{size.upper()}"]))
        rules.append((value(size) > MAX_LAYER_SIZE, ErrorCode[f"{size.upper()}_TOO_LARGE"]))
    rules.append((value("inner") > config.max_inner_dimension, ErrorCode.INNER_OVERFLOWS))
    rules += [
        (value("activation_stride") % ALIGNMENT != 0, ErrorCode.ACTIVATION_STRIDE_MISALIGNED),
        (value("destination_stride") % ALIGNMENT != 0, ErrorCode.DESTINATION_STRIDE_MISALIGNED),
        (value("destination_stride") < _result_bytes(descriptor), ErrorCode.DESTINATION_STRIDE_TOO_SMALL),
    ]
    return _first(m, rules, "spec_content")


def _aligned(size: Value) -> Value:
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


class Quotients(NamedTuple):
    """Of a job: fillings of the array along K, weight lines of a channel, token tiles."""

    inner_tiles: Value
    line_groups: Value
    token_tiles: Value


def region_code(
    m: Module,
    descriptor: Value,
    address: Value,
    config: AcceleratorConfig,
    base: Value,
    limit: Value,
    bits: int,
    quotients: Quotients,
) -> Signal:
    """`_check_regions`, of a descriptor whose contents are legal and whose sizes have at most so many bits, with these
    quotients of its sizes.
    """

    def value(name: str) -> Value:
        return field(descriptor, name)

    tokens, channels = value("tokens")[:bits], value("channels")[:bits]
    tiles, groups, token_tiles = quotients
    sums, last = value("output_format") == OutputFormat.SUMS, value("last")
    sizes: dict[str, tuple[Value, Value]] = {
        "destination": (Const(1), (tokens - 1)[:bits] * value("destination_stride") + _result_bytes(descriptor)),
        "activations": (
            Const(1),
            (tokens - 1)[:bits] * value("activation_stride") + tiles * config.activation_tile_bytes,
        ),
        "weights": (Const(1), groups * _aligned(channels * config.line_bytes)),
        "channel_parameters": (~sums, _aligned(channels * record_bytes(CHANNEL_PARAMETERS))),
        "token_parameters": (~sums, token_tiles * config.token_tile_bytes),
        "descriptor": (Const(1), Const(DESCRIPTOR_BYTES)),
        "next": (~last, Const(DESCRIPTOR_BYTES)),
    }
    rules: list[tuple[Value, Value | int]] = []
    destination_end = Signal(_EXTENT_BITS, name="spec_destination_end")
    m.d.comb += destination_end.eq(value("destination") + sizes["destination"][1])
    for number, region in enumerate(REGIONS):
        applies, size = sizes[region]
        start = address if region == "descriptor" else value(region)
        end = Signal(_EXTENT_BITS, name=f"spec_end_{region}")
        m.d.comb += end.eq(start + size)
        inside = (base <= start) & (end - 1 <= limit)
        rules.append((applies & (start % ALIGNMENT != 0), MISALIGNED + number))
        rules.append((applies & ~inside, OUTSIDE + number))
        if region != "destination":
            overlaps = (start < destination_end) & (value("destination") < end)
            rules.append((applies & overlaps, OVERLAPPED + number))
    return _first(m, rules, "spec_region")
