"""The register map: complete, free of overlaps, true to the configuration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fineq_hw.config import ACCELERATORS, ALIGNMENT
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
    bus = {"bus_bytes": 8, "address_bits": 40, "alignment": ALIGNMENT}
    assert read("MEMORY_BUS", config) == bus | {"protection": 0b010, "cacheability": 0b0011}
    secure = replace(config, protection=0b001, cacheability=0b1111)
    assert read("MEMORY_BUS", secure) == bus | {"protection": 0b001, "cacheability": 0b1111}
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
    with pytest.raises(ValueError, match="there is no counter 'heat': choose one of cycles, memory_access_busy, "):
        counter_offset("heat")
