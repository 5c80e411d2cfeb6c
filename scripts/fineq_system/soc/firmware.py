"""The firmware: the generated driver, golden vectors and what they must give, compiled for the SoC's processor."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np

from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq.common.tools import ToolError, find_tool
from fineq.quantizer.golden_vectors import GoldenVectors
from fineq.quantizer.packed import PackedWeight
from fineq.quantizer.vector_files import c_array, c_header
from fineq_hw.config import AcceleratorConfig
from fineq_hw.driver_c.files import SOURCES, write_driver
from fineq_hw.interface.registers import REGISTERS
from fineq_sim.driver import Accelerator, FunctionalTransport, Job
from fineq_sim.reference.vector_unit import requantize_constants, to_fixed

CODE_FILES = ("firmware/start.S", "firmware/link.ld", "firmware/board.h", "firmware/board.c", "firmware/main.c")

COMPILER = "riscv64-unknown-elf-gcc"

_ARCHITECTURES = {"standard": "rv32im", "minimal": "rv32i"}
"""What each variant of the processor executes."""

_FLAGS = (
    "-mabi=ilp32",
    "-misa-spec=2.2",
    "-std=c99",
    "-Os",
    "-ffreestanding",
    "-nostdlib",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
)
"""The older specification has the instructions for CSRs in the base, and so has the compiler's own library."""

_OUTPUT_SCALE = 0.05
"""Of the int8 results of the chain."""


def find_compiler() -> Path:
    """The cross compiler.

    Raises:
        ToolError: it is missing; the text names the package.
    """
    return find_tool("The RISC-V compiler", COMPILER, "run `apt-get install gcc-riscv64-unknown-elf`")


def vector_headers(config: AcceleratorConfig, packed: PackedWeight, vectors: GoldenVectors) -> dict[str, str]:
    """Texts of `vectors.h` and `expected.h`; what must come out is the functional model's."""
    machine = Accelerator(FunctionalTransport(config, memory_size=1 << 22))
    bias = np.linspace(-1, 1, vectors.rows)
    layer = machine.load_linear(packed, bias)
    scales = vectors.activation_scales
    fixed = machine.run(layer, vectors.activations, scales=scales, output="fixed", function="silu")
    int8 = machine.run_chain([Job(layer, vectors.activations, scales, "int8", "gelu", output_scale=_OUTPUT_SCALE)])[0]
    multiplier, shift = requantize_constants(_OUTPUT_SCALE)
    kind = {field.name: field.reset(config) for field in REGISTERS["ARRAY_KIND"].fields}
    constants = {
        "ROWS": config.array.rows,
        "COLUMNS": config.array.columns,
        "ENCODING": kind["encoding"],
        "KIND": kind["kind"],
        "MULTIPLIER": multiplier,
        "SHIFT": shift,
    }
    lines = [f"#define EXPECTED_{name} {value}u" for name, value in constants.items()]
    for name, values in {
        "expected_bias": to_fixed(bias),
        "expected_fixed": fixed.values,
        "expected_int8": int8.values,
    }.items():
        lines += c_array(name, np.asarray(values, dtype=np.int32))
    names = ("blocks", "scales", "activations", "activation_scales", "expected_sums")
    sizes = {"rows": vectors.rows, "inner": vectors.inner_dimension, "tokens": vectors.tokens}
    return {
        "vectors.h": c_header(sizes, {name: getattr(vectors, name) for name in names}),
        "expected.h": "\n".join(["#include <stdint.h>", "", *lines, ""]),
    }


def build_firmware(
    directory: Path, headers: dict[str, str], soc_header: str, constants: dict[str, int], cpu: str
) -> Path:
    """Compile the firmware.

    Args:
        directory: for the sources and the program; older ones are replaced.
        headers: from `vector_headers`.
        soc_header, constants: of `SocDesign`.
        cpu: variant of the processor.

    Returns:
        The contents of the ROM, a file for `$readmemh`.

    Raises:
        ToolError: no compiler, or it refuses.
        FineqError: the firmware is larger than the ROM.
    """
    compiler = find_compiler()
    here = Path(__file__).parent
    write_driver(directory)
    for name, text in headers.items() | {"soc.h": soc_header}.items():
        write_text(directory / name, text)
    for name in CODE_FILES:
        write_text(directory / Path(name).name, (here / name).read_text(encoding="utf-8"))
    places = [f"-Wl,--defsym=SOC_{name}={constants[name]}" for name in ("ROM", "ROM_BYTES", "SRAM", "SRAM_BYTES")]
    sources = ["start.S", "main.c", "board.c", *SOURCES]
    command = [str(compiler), f"-march={_ARCHITECTURES[cpu]}", *_FLAGS, "-I.", *sources, "-T", "link.ld", *places]
    result = subprocess.run([*command, "-o", "firmware.elf", "-lgcc"], cwd=directory, capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if "error" in line or "overflow" in line]
        if any("will not fit" in line or "overflowed" in line for line in result.stderr.splitlines()):
            raise FineqError("the firmware with these vectors does not fit the ROM: take fewer or smaller vectors")
        raise ToolError(f"{COMPILER} refuses the firmware: {errors[0] if errors else result.stderr.strip()[-200:]}")
    copy = str(compiler).removesuffix("gcc") + "objcopy"
    subprocess.run([copy, "-O", "binary", "firmware.elf", "firmware.bin"], cwd=directory, check=True)
    return write_text(directory / "firmware.hex", rom_words((directory / "firmware.bin").read_bytes()))


def rom_words(content: bytes) -> str:
    """Bytes as 32-bit words for `$readmemh`, one a line."""
    padded = content + bytes(-len(content) % 4)
    return "".join(f"{word:08x}\n" for (word,) in struct.iter_unpack("<I", padded))
