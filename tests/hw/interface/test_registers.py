"""Register map, descriptor format, error codes and their document: complete, free of overlaps, true to the contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from amaranth.hdl import Module, Shape
from amaranth.sim import Simulator

from fineq_hw.config import ACCELERATORS, ALIGNMENT, MAX_LAYER_SIZE
from fineq_hw.control.event_counter import EventCounter
from fineq_hw.control.structs import counter_events_layout
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_FIELDS,
    RESERVED_MASK,
    Refusal,
    check_address,
    check_descriptor,
    decode_descriptor,
    encode_descriptor,
    inner_tiles,
    line_groups,
    region_bytes,
)
from fineq_hw.interface.error_codes import (
    ERROR_TEXTS,
    MISALIGNED,
    OUTSIDE,
    OVERLAPPED,
    READ_FAULT,
    REGIONS,
    WRITE_FAULT,
    ErrorCode,
)
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import (
    ADDRESS_BITS,
    COUNTERS,
    MAGIC,
    REGISTERS,
    STAGES,
    WORD_BYTES,
    Access,
    counter_offset,
)
from fineq_hw.lib.machine_streams import job_layout
from fineq_reports.registers_page import document

PAGE = Path(__file__).parents[3] / "docs" / "registers.md"

# -- register map ------------------------------------------------------------------------------------------------


def test_registers_do_not_overlap():
    words = [register.offset + WORD_BYTES * word for register in REGISTERS.values() for word in range(register.words)]
    assert len(set(words)) == len(words)
    assert all(word % WORD_BYTES == 0 and word < 1 << ADDRESS_BITS for word in words)
    assert all(register.offset % (register.bits // 8) == 0 for register in REGISTERS.values())
    assert words == sorted(words), "registers are listed in the order of their addresses"


@pytest.mark.parametrize("register", REGISTERS.values(), ids=REGISTERS)
def test_fields_fit_their_register(register):
    seen = 0
    for field in register.fields:
        assert not seen & field.mask, f"{field.name} overlaps another field"
        assert field.mask < 1 << register.bits
        seen |= field.mask
        for config in ACCELERATORS.values():
            assert 0 <= field.reset(config) < 1 << field.width, f"{field.name} is too small for {config}"
    assert len({field.name for field in register.fields}) == len(register.fields)


def test_encode_and_decode_a_register():
    register = REGISTERS["ARRAY_SIZE"]
    assert register.encode(rows=5, columns=7) == 7 << 16 | 5
    assert register.decode(7 << 16 | 5) == {"rows": 5, "columns": 7}
    with pytest.raises(ValueError, match=r"ARRAY_SIZE\.rows is 65536: the field has 16 bits"):
        register.encode(rows=1 << 16)


def test_identification_tells_the_configuration():
    def read(register: str, config) -> dict[str, int]:
        return REGISTERS[register].decode(REGISTERS[register].reset(config))

    config = ACCELERATORS["accelerator_5x7"]
    assert MAGIC.to_bytes(4, "big") == b"FINQ"
    assert read("ARRAY_SIZE", config) == {"rows": 5, "columns": 7}
    assert read("ARRAY_KIND", config)["kind"] == 0
    assert read("ARRAY_KIND", ACCELERATORS["mac8x8_accelerator_5x7"]) == {
        "kind": 1,
        "encoding": 0,
        "weight_bits": 8,
        "accumulator_bits": 32,
    }
    assert read("MEMORY_BUS", config) == {"bus_bytes": 8, "address_bits": 40, "alignment": ALIGNMENT}
    assert REGISTERS["MEMORY_LIMIT"].reset(config) == (1 << 40) - 1
    resets = {tuple(register.reset(each) for register in REGISTERS.values()) for each in ACCELERATORS.values()}
    assert len(resets) == len(ACCELERATORS), "two machines look the same to the driver"


def test_status_and_interrupts_use_the_same_bits():
    flags = {field.name: field.mask for field in REGISTERS["STATUS"].fields if field.access is Access.W1C}
    assert flags == {field.name: field.mask for field in REGISTERS["INTERRUPT_ENABLE"].fields}


def test_counters():
    names = [counter.name for counter in COUNTERS]
    assert len(set(names)) == len(names)
    assert {f"{stage}_{what}" for stage in STAGES for what in ("busy", "stall")} <= set(names)
    assert [REGISTERS[f"COUNTER_{name.upper()}"].offset for name in names] == [counter_offset(name) for name in names]
    config = ACCELERATORS["accelerator_64x64"]
    assert set(counter_events_layout(config).members) == set(names) - {"cycles", "jobs"}
    assert counter_events_layout(config)["bytes_read"].width == 5, "0 to 16 bytes a cycle"
    with pytest.raises(ValueError, match="there is no counter 'heat': choose one of cycles, memory_access_busy, "):
        counter_offset("heat")


def test_event_counter_carries_from_half_to_half():
    """With small halves: the high half belongs to the low half of the cycle before, also around a clear."""
    counter = EventCounter(Shape(3), half_bits=4)
    m = Module()
    m.submodules.counter = counter
    simulator = Simulator(m)
    simulator.add_clock(1e-6)

    async def bench(context):
        total, history = 0, []
        for cycle in range(200):
            event = (cycle * 5 + cycle // 7) % 8
            clear = cycle in (90, 91, 97, 150)
            context.set(counter.event, event)
            context.set(counter.clear, clear)
            history.append((total, context.get(counter.low), context.get(counter.high)))
            total = 0 if clear else total + event
            await context.tick()
        for (count, low, _), (_, _, high) in zip(history, history[1:], strict=False):
            assert (high << 4 | low) == count % 256

    simulator.add_testbench(bench)
    simulator.run()


# -- error codes -------------------------------------------------------------------------------------------------


def test_every_error_code_has_one_sentence():
    assert list(ERROR_TEXTS) == list(ErrorCode)
    for code, text in ERROR_TEXTS.items():
        assert text.endswith(".") and text[0].isupper() and len(text) < 120, code
    assert len(set(ERROR_TEXTS.values())) == len(ERROR_TEXTS)


def test_codes_of_regions_and_of_the_bus():
    for number, region in enumerate(REGIONS):
        assert ErrorCode(MISALIGNED + number).name == f"{region.upper()}_MISALIGNED"
        assert ErrorCode(OUTSIDE + number).name == f"{region.upper()}_OUTSIDE"
        if region != "destination":
            assert ErrorCode(OVERLAPPED + number).name == f"{region.upper()}_OVERLAPPED"
    assert ErrorCode(READ_FAULT + 2) is ErrorCode.READ_SLAVE_ERROR
    assert ErrorCode(WRITE_FAULT + 3) is ErrorCode.WRITE_DECODE_ERROR


# -- descriptors -------------------------------------------------------------------------------------------------


def test_descriptor_fields_do_not_overlap():
    seen = 0
    for field in DESCRIPTOR_FIELDS:
        assert not seen & field.mask
        seen |= field.mask
        # A field lies in one word of the narrowest bus, which is how the hardware takes it out.
        assert field.offset // 64 == (field.offset + field.width - 1) // 64
    assert seen | RESERVED_MASK == (1 << 8 * DESCRIPTOR_BYTES) - 1
    assert [field.offset for field in DESCRIPTOR_FIELDS] == sorted(field.offset for field in DESCRIPTOR_FIELDS)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_every_field_of_a_job_comes_from_the_descriptor(name):
    fields = {field.name for field in DESCRIPTOR_FIELDS}
    assert set(job_layout(ACCELERATORS[name]).members) - fields == {"inner_tiles", "line_groups"}


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


CONFIG = ACCELERATORS["accelerator_16x16"]
GOOD = {
    "output_format": 1,
    "tokens": 3,
    "channels": 20,
    "inner": 40,
    "activations": 0x1000,
    "activation_stride": 48,
    "weights": 0x2000,
    "channel_parameters": 0x3000,
    "token_parameters": 0x4000,
    "destination": 0x5000,
    "destination_stride": 80,
    "next": 0x6000,
}
ADDRESS = 0x7000


def check(limit: int = 0xFFFF, base: int = 0, **changes) -> Refusal | None:
    return check_descriptor(encode_descriptor(**(GOOD | changes)), ADDRESS, CONFIG, base, limit)


def test_a_legal_descriptor():
    assert check() is None
    assert check(limit=ADDRESS + 127, base=0x1000) is None
    assert check(tokens=1, destination=0x5000, activations=0x5050) is None, "next to each other is no overlap"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("UNKNOWN_OPERATION", {"operation": 0}),
        ("UNKNOWN_OUTPUT_FORMAT", {"output_format": 3}),
        ("UNKNOWN_FUNCTION", {"function": 4}),
        ("FUNCTION_WITH_SUMS", {"output_format": 0, "function": 1}),
        ("ZERO_TOKENS", {"tokens": 0}),
        ("ZERO_CHANNELS", {"channels": 0}),
        ("ZERO_INNER", {"inner": 0}),
        ("TOKENS_TOO_LARGE", {"tokens": MAX_LAYER_SIZE + 1}),
        ("CHANNELS_TOO_LARGE", {"channels": MAX_LAYER_SIZE + 1}),
        ("INNER_TOO_LARGE", {"inner": MAX_LAYER_SIZE + 1}),
        ("INNER_OVERFLOWS", {"inner": 21846}),
        ("ACTIVATION_STRIDE_MISALIGNED", {"activation_stride": 8}),
        ("DESTINATION_STRIDE_MISALIGNED", {"destination_stride": 84}),
        ("DESTINATION_STRIDE_TOO_SMALL", {"destination_stride": 64}),
        ("DESTINATION_OUTSIDE", {"limit": 0x50EF - 1}),
        ("WEIGHTS_OUTSIDE", {"weights": 1 << 40}),
        ("NEXT_OUTSIDE", {"next": 0xFFF0}),
        ("ACTIVATIONS_OUTSIDE", {"base": 0x1001}),
        ("ACTIVATIONS_OVERLAPPED", {"activations": 0x50E0}),
        ("DESCRIPTOR_OVERLAPPED", {"destination": ADDRESS + 112}),
        ("NEXT_OVERLAPPED", {"destination": 0x5F20}),
        ("TOKEN_PARAMETERS_MISALIGNED", {"token_parameters": 0x4004}),
    ],
)
def test_illegal_descriptors(code, changes):
    assert check(**changes) == Refusal(ErrorCode[code])


def test_the_boundary_of_k():
    wide = {"activation_stride": 0, "weights": 0x100000, "limit": (1 << 40) - 1}
    assert check(inner=21845, **wide | {"activations": 0x10000}) is None


def test_reserved_bits_come_first_and_tell_their_word():
    raw = bytearray(encode_descriptor(**GOOD | {"operation": 0}))
    raw[0x55] = 1
    assert check_descriptor(bytes(raw), ADDRESS, CONFIG, 0, 0xFFFF) == Refusal(ErrorCode.RESERVED_BITS, 0x54)
    raw[0x1F] = 128
    assert check_descriptor(bytes(raw), ADDRESS, CONFIG, 0, 0xFFFF) == Refusal(ErrorCode.RESERVED_BITS, 0x1C)


def test_the_address_of_a_descriptor():
    assert check_address(0x80, 0x80, 0xFF) is None
    assert check_address(0x88, 0, 0xFFF) == Refusal(ErrorCode.DESCRIPTOR_MISALIGNED)
    assert check_address(0x80, 0x90, 0xFFF) == Refusal(ErrorCode.DESCRIPTOR_OUTSIDE)
    assert check_address(0x80, 0, 0xFE) == Refusal(ErrorCode.DESCRIPTOR_OUTSIDE)


# -- the page ----------------------------------------------------------------------------------------------------


def test_the_page_is_the_generated_one():
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "docs/registers.md is out of date: fineq registers --output docs/registers.md"
    )


def test_the_page_names_everything():
    text = document()
    for name in [*ErrorCode.__members__, *(field.name for field in DESCRIPTOR_FIELDS)]:
        assert f"`{name}`" in text
    for register in REGISTERS.values():
        assert f"0x{register.offset:03X}" in text


def test_the_page_is_written_whole_or_not_at_all(tmp_path):
    command = [sys.executable, "-m", "fineq", "registers", "--output"]
    assert subprocess.run([*command, tmp_path / "page.md"]).returncode == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == document()
    failed = subprocess.run([*command, tmp_path / "absent" / "page.md"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr == f"error: cannot write {tmp_path}/absent/page.md: No such file or directory\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.md"]
