"""Random chains of descriptors, most of them nearly legal."""

from __future__ import annotations

from random import Random

from fineq_hw.config import ALIGNMENT, AcceleratorConfig, aligned
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, FIELDS, encode_descriptor, region_bytes
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat, result_bytes

MEMORY_BASE, MEMORY_BYTES = 0x10000, 1 << 15
"""Of both machines: small, so that regions meet."""

REGIONS = ("destination", "activations", "weights", "channel_parameters", "token_parameters")

Chain = list[tuple[int, str]]
"""Descriptors: where each lies, and its bytes in hexadecimal digits."""

_SIZES = (1, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15, 16, 17, 20, 21, 28, 33)


def random_chain(draw: Random, config: AcceleratorConfig, *, endless: bool = False, changes: bool = True) -> Chain:
    """A chain of one to four jobs.

    Args:
        draw: random numbers.
        config: of the machine.
        endless: the last leads to the first.
        changes: spoil some of it.
    """
    count = draw.choice((1, 1, 2, 2, 3, 4))
    places = [_place(draw, DESCRIPTOR_BYTES) for _ in range(count)]
    chain: Chain = []
    written = MEMORY_BASE
    for number, place in enumerate(places):
        last = number == count - 1 and not endless
        following = places[(number + 1) % count]
        fields = _job(draw, config) | {"last": int(last), "next": draw.getrandbits(64) if last else following}
        if number and draw.random() < 0.2:  # what the job before has written
            fields["activations"] = written
        written = fields["destination"]
        if changes and draw.random() < 0.4:
            for _ in range(draw.choice((1, 1, 2))):
                _spoil(draw, fields, place, following)
        content = bytearray(encode_descriptor(**fields))
        if changes and draw.random() < 0.05:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        chain.append((place, bytes(content).hex()))
    return chain


def _place(draw: Random, size: int) -> int:
    """Of so many bytes, anywhere in the memory."""
    room = max(MEMORY_BYTES - size, 0) // ALIGNMENT
    return MEMORY_BASE + ALIGNMENT * draw.randint(0, room)


def _job(draw: Random, config: AcceleratorConfig) -> dict[str, int]:
    tokens, channels, inner = (draw.choice(_SIZES) for _ in range(3))
    output = draw.choice(list(OutputFormat))
    function = ActivationFunction.NONE if output is OutputFormat.SUMS else draw.choice(list(ActivationFunction))
    tiles = -(-inner // config.array.columns)
    fields = {
        "output_format": output.value,
        "function": function.value,
        "early_termination": draw.getrandbits(1),
        "interrupt": draw.getrandbits(1),
        "last": 0,
        "tag": draw.getrandbits(32),
        "tokens": tokens,
        "channels": channels,
        "inner": inner,
        "requantize_multiplier": draw.getrandbits(FIELDS["requantize_multiplier"].width),
        "requantize_shift": draw.getrandbits(FIELDS["requantize_shift"].width),
        "activation_stride": aligned(tiles * config.activation_tile_bytes) + ALIGNMENT * draw.choice((0, 0, 1, 3)),
        "destination_stride": aligned(channels * result_bytes(output)) + ALIGNMENT * draw.choice((0, 0, 1, 3)),
    }
    if draw.random() < 0.05:
        fields["activation_stride"] = 0
    sizes = region_bytes(fields, config)
    return fields | {region: _place(draw, sizes.get(region, 0)) for region in REGIONS}


def _spoil(draw: Random, fields: dict[str, int], place: int, following: int) -> None:
    """One field other: by a little, near an edge of the memory, in another region, or by a bit."""
    name = draw.choice([*FIELDS, *REGIONS, *REGIONS])
    width, value = FIELDS[name].width, fields.get(name, 1)
    edges = (MEMORY_BASE, MEMORY_BASE + MEMORY_BYTES, place, following)
    near = draw.choice((-DESCRIPTOR_BYTES, -ALIGNMENT, -8, -1, 0, 1, 8, ALIGNMENT))
    choices = [value + near, value ^ 1 << draw.randrange(width), draw.getrandbits(width), 0, (1 << width) - 1]
    if name in (*REGIONS, "next"):
        choices += [draw.choice(edges) + near, draw.choice(edges) + near, fields[draw.choice(REGIONS)] + near]
    fields[name] = draw.choice(choices) % (1 << width)
