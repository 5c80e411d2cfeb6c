"""The descriptor: its fields, and the extents of the regions that a job touches."""

from __future__ import annotations

import pytest

from fineq_hw.config import ACCELERATORS
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_FIELDS,
    RESERVED_MASK,
    decode_descriptor,
    encode_descriptor,
    inner_tiles,
    line_groups,
    region_bytes,
)
from fineq_hw.interface.error_codes import REGIONS
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, record_bytes


def test_descriptor_fields_do_not_overlap():
    seen = 0
    for field in DESCRIPTOR_FIELDS:
        assert not seen & field.mask
        seen |= field.mask
        # A field lies in one word of the narrowest bus, which is how the hardware takes it out.
        assert field.offset // 64 == (field.offset + field.width - 1) // 64
    assert seen | RESERVED_MASK == (1 << 8 * DESCRIPTOR_BYTES) - 1
    assert [field.offset for field in DESCRIPTOR_FIELDS] == sorted(field.offset for field in DESCRIPTOR_FIELDS)


def test_encode_and_decode_a_descriptor():
    values = {
        field.name: (0x123456789ABCDEF5 >> number) % (1 << field.width)
        for number, field in enumerate(DESCRIPTOR_FIELDS)
    }
    raw = encode_descriptor(**values)
    assert len(raw) == DESCRIPTOR_BYTES
    assert decode_descriptor(raw) == values
    assert raw[4:8] == values["tag"].to_bytes(4, "little")
    assert encode_descriptor(output_format=OutputFormat.INT8, function=ActivationFunction.GELU)[:2] == b"\x01\x32"
    with pytest.raises(ValueError, match="a descriptor has no field 'colour': choose from operation, output_format, "):
        encode_descriptor(colour=1)
    with pytest.raises(ValueError, match="requantize_shift is 64: the field has 6 bits, at most 63"):
        encode_descriptor(requantize_shift=64)
    with pytest.raises(ValueError, match="a descriptor has 128 bytes, not 4"):
        decode_descriptor(bytes(4))


def image_bytes(fields: dict[str, int], config) -> dict[str, int]:
    """Extents once more, from the tile nest: the last byte that any tile touches."""
    last = dict.fromkeys(("activations", "weights", "channel_parameters", "token_parameters", "destination"), 0)
    columns, rows, element = config.array.columns, config.array.rows, 1 if fields["output_format"] == 2 else 4
    tiles = len(range(0, fields["inner"], columns))
    for token in range(fields["tokens"]):
        start = token * fields["activation_stride"]
        last["activations"] = max(last["activations"], start + tiles * config.activation_tile_bytes)
        start = token * fields["destination_stride"]
        last["destination"] = max(last["destination"], start + fields["channels"] * element)
    for _ in range(0, fields["tokens"], rows):
        last["token_parameters"] += config.token_tile_bytes
    for first in range(0, fields["channels"], config.channels_per_tile):
        channels = min(config.channels_per_tile, fields["channels"] - first)
        for _ in range(0, tiles, config.line_slices):
            last["weights"] += config.weight_chunk_bytes(channels)
    last["channel_parameters"] = (8 * fields["channels"] + 15) // 16 * 16
    return last


@pytest.mark.parametrize("name", ACCELERATORS)
def test_extents_follow_from_the_tile_nest(name):
    config = ACCELERATORS[name]
    for tokens, channels, inner in ((1, 1, 1), (7, 33, 100), (65, 530, 200), (5, 16, 7), (64, 512, 576), (130, 17, 64)):
        for output_format in (1, 2):
            fields = {"tokens": tokens, "channels": channels, "inner": inner, "output_format": output_format}
            fields |= {"activation_stride": 4096, "destination_stride": 4096, "last": 0}
            sizes = region_bytes(fields, config)
            assert sizes == image_bytes(fields, config) | {"descriptor": 128, "next": 128}
            assert list(sizes) == list(REGIONS)
        assert inner_tiles(inner, config) == len(range(0, inner, config.array.columns))
        assert line_groups(inner, config) == len(range(0, inner_tiles(inner, config), config.line_slices))
        sums = region_bytes(fields | {"output_format": 0, "last": 1}, config)
        assert list(sums) == ["destination", "activations", "weights", "descriptor"]


@pytest.mark.parametrize(("record", "size"), [(CHANNEL_PARAMETERS, 8), (TOKEN_PARAMETERS, 4)])
def test_records_leave_no_bit_out(record, size):
    """What the struct of the RTL and the numpy type of the driver both rely on."""
    position = 0
    for field in record:
        assert field.offset == position
        position += field.width
    assert position == 8 * size == 8 * record_bytes(record)
