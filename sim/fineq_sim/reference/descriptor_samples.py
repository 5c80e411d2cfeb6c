"""Random descriptors for tests: legal ones in a memory window, and every way to spoil one."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fineq_hw.config import ALIGNMENT, MAX_LAYER_SIZE, AcceleratorConfig
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, RESERVED_MASK, encode_descriptor, region_bytes
from fineq_hw.interface.error_codes import MISALIGNED, OUTSIDE, OVERLAPPED, REGIONS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat, result_bytes


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
