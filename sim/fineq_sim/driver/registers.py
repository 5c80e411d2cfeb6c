"""The register port by names, and the machine that its identification describes."""

from __future__ import annotations

from typing import Any

from fineq.format.temporal import ENCODINGS
from fineq_hw.config import ALIGNMENT, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.interface.error_codes import ERROR_TEXTS, ErrorCode
from fineq_hw.interface.registers import COUNTERS, MAGIC, REGISTERS, VERSION, WORD_BYTES
from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.transport import Transport


def describe(code: int) -> str:
    """The sentence of an error code."""
    try:
        return ERROR_TEXTS[ErrorCode(code)]
    except ValueError:
        return f"Unknown error code {code:#04x}."


class RegisterPort:
    """Registers of `fineq_hw.interface.registers` by name over a transport."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def read(self, name: str) -> int:
        """Value of a register, 32 or 64 bits.

        Raises:
            AcceleratorError: the register port answers with an error.
        """
        register = REGISTERS[name]
        words = [self.transport.read_register(register.offset + WORD_BYTES * word) for word in range(register.words)]
        value = 0
        for position, word in enumerate(words):
            if word is None:
                raise AcceleratorError(f"the register {name} at {register.offset:#05x} cannot be read")
            value |= word << 32 * position
        return value

    def fields(self, name: str) -> dict[str, int]:
        """Fields of a register."""
        return REGISTERS[name].decode(self.read(name))

    def write(self, name: str, value: int | None = None, **fields: int) -> None:
        """Write a register, as a whole or by its fields (those not named are zero).

        Raises:
            AcceleratorError: the register port refuses the write; the text has the hardware's reason.
        """
        register = REGISTERS[name]
        value = register.encode(**fields) if value is None else value
        for word in range(register.words):
            address = register.offset + WORD_BYTES * word
            if not self.transport.write_register(address, value >> 32 * word & 0xFFFFFFFF):
                code = self.fields("ACCESS_ERROR")["code"]
                self.write("STATUS", access_error=1)
                raise AcceleratorError(
                    f"the accelerator refuses a write to {name}: {describe(code)}", code=error_name(code)
                )

    def counters(self) -> dict[str, int]:
        """All performance counters by name."""
        return {counter.name: self.read(f"COUNTER_{counter.name.upper()}") for counter in COUNTERS}


def error_name(code: int) -> str | None:
    """Name of an error code, or None if it is unknown."""
    return ErrorCode(code).name if code in {each.value for each in ErrorCode} else None


def discover(port: RegisterPort) -> AcceleratorConfig:
    """The machine behind a register port, from its identification registers.

    Parameters that software has no use for (bursts, outstanding reads, ...) have their default values.

    Raises:
        AcceleratorError: there is no FineQ accelerator, or one that this driver does not know.
    """
    magic, version = port.read("MAGIC"), port.fields("VERSION")
    if magic != MAGIC:
        raise AcceleratorError(f"there is no FineQ accelerator: the first register reads {magic:#010x}, not {MAGIC:#x}")
    if version["major"] != VERSION[0] or version["minor"] < VERSION[1]:
        raise AcceleratorError(
            f"the accelerator has version {version['major']}.{version['minor']}: this driver knows version "
            f"{VERSION[0]} from {VERSION[0]}.{VERSION[1]} on"
        )
    size, kind, bus, tile = (port.fields(name) for name in ("ARRAY_SIZE", "ARRAY_KIND", "MEMORY_BUS", "TILE"))
    shape: dict[str, Any] = {
        "rows": size["rows"],
        "columns": size["columns"],
        "accumulator_bits": kind["accumulator_bits"],
    }
    try:
        if kind["kind"]:
            array: ArrayConfig | MacConfig = MacConfig(**shape, weight_bits=kind["weight_bits"])
        else:
            # Every encoding knows this way of applying the sign; to software it makes no difference.
            array = ArrayConfig(**shape, encoding=ENCODINGS[kind["encoding"]], sign_handling="column")
        config = AcceleratorConfig(
            array,
            bus_bits=8 * bus["bus_bytes"],
            address_bits=bus["address_bits"],
            channels_per_tile=tile["channels_per_tile"],
            final_channels=ALIGNMENT,
            protection=bus["protection"],
            cacheability=bus["cacheability"],
        )
    except (ValueError, IndexError) as error:
        raise AcceleratorError(f"the accelerator says of itself what this driver does not know: {error}") from error
    derived = {"line_bytes": tile["line_bytes"], "alignment": bus["alignment"], "MAX_INNER": port.read("MAX_INNER")}
    expected = {"line_bytes": config.line_bytes, "alignment": ALIGNMENT, "MAX_INNER": config.max_inner_dimension}
    for name, value in derived.items():
        if value != expected[name]:
            raise AcceleratorError(f"the accelerator says {name} is {value}: this driver expects {expected[name]}")
    return config
