"""The SoC as LiteX describes it: VexRiscv, ROM, SRAM, main memory, UART, and the accelerator as slave and master.

The accelerator reaches the memory through LiteX's own adapters, as they are: AXI4 to AXI-Lite to Wishbone, with the
width converted before. The registers lie outside the cached region.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError
from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.registers import ADDRESS_BITS
from fineq_hw.lib.axi import MASTER_PREFIX, SLAVE_PREFIX, axi_lite_slave_ports, axi_master_ports

TOP = "fineq_soc"

CLOCK = 50_000_000
"""Of the simulated SoC, for baud rates; a simulation has no time but cycles."""

BUS_ADDRESS_BITS = 32

ROM_BYTES, SRAM_BYTES = 1 << 18, 1 << 13

BOARD_ROM_BYTES = 1 << 16
"""Of a board, whose block RAM is scarce."""

MEMORIES = ("sdram", "ram")
"""`sdram`: LiteDRAM's controller and its model of a chip, with an L2 cache. `ram`: block RAM, a word a cycle."""

CPU_VARIANTS = ("standard", "minimal")
"""VexRiscv with 4 KiB of data cache, and without caches."""

REGISTERS_ORIGIN = 0xF100_0000
"""Of the accelerator's registers: in the region that the processor does not cache."""


@dataclass(frozen=True)
class Pins:
    """What a SoC has on a board in the place of the simulation's stream of bytes: a UART, and lights.

    Attributes:
        clock: Hz, of the SoC.
        baud: of the UART.
    """

    clock: int
    baud: int


LIGHTS = ("passed", "failed")
"""Lights of a board that firmware switches, from the lowest bit of their register on."""


@dataclass(frozen=True)
class SocSettings:
    """What a SoC is made of.

    Attributes:
        accelerator: its parameters.
        cpu: one of `CPU_VARIANTS`.
        memory: one of `MEMORIES`.
        memory_bytes: of the main memory, with `ram`.
        rom_bytes: for the firmware.
        pins: of a board; None: a simulation.

    Raises:
        FineqError: an unknown name, or `sdram` on a board.
    """

    accelerator: AcceleratorConfig
    cpu: str = "standard"
    memory: str = "sdram"
    memory_bytes: int = 1 << 20
    rom_bytes: int = ROM_BYTES
    pins: Pins | None = None

    def __post_init__(self) -> None:
        if self.pins is not None and self.memory == "sdram":
            raise FineqError("a board's SDRAM is not connected: the SoC has block RAM there, leave --memory out")
        for what, value, known in (("cpu", self.cpu, CPU_VARIANTS), ("memory", self.memory, MEMORIES)):
            if value not in known:
                raise FineqError(f"unknown {what} {value!r}: choose one of {', '.join(known)}")


@dataclass(frozen=True)
class SocDesign:
    """Verilog of a SoC, and what its software must know.

    Its top `TOP` has the ports sys_clk and sys_rst; for a simulation, serial_source_* and serial_sink_* (valid, ready,
    data: bytes out and in); on a board, serial_tx, serial_rx and lights.

    Attributes:
        sources: text by file name: the SoC itself and the processor, without the accelerator.
        header: of C: addresses, sizes and the interrupt's number.
        contents: name of the file for `$readmemh` that holds what is in the ROM at the start.
        data: text by name of the other such files.
        constants: those of the header, without `SOC_`.
    """

    sources: dict[str, str]
    header: str
    contents: str
    data: dict[str, str]
    constants: dict[str, int]


_PACKAGES = ("litex", "litedram", "pythondata_cpu_vexriscv")
"""What LiteX's SoC is made of; the lock file of the project has none of them, they are the extra `soc`."""


def check_packages() -> None:
    """Look for LiteX before anything is worked out or written.

    Raises:
        ModuleNotFoundError: LiteX or one of its packages is not installed (`pip install 'fineq[soc]'`).
    """
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"no module named {name!r}", name=name)


def soc_design(settings: SocSettings, accelerator_module: str, build: Path) -> SocDesign:
    """Have LiteX write the Verilog of a SoC.

    Args:
        settings: what it is made of.
        accelerator_module: name of the accelerator's Verilog module.
        build: directory for what LiteX writes.

    Raises:
        ModuleNotFoundError: LiteX or one of its packages is not installed (`pip install 'fineq[soc]'`).
    """
    from litex.build.generic_platform import Pins as Places
    from litex.build.generic_platform import Subsignal
    from litex.build.sim import SimPlatform
    from pythondata_cpu_vexriscv import data_location

    stream = {
        f"{way}_{name}": bits for way in ("source", "sink") for name, bits in (("valid", 1), ("ready", 1), ("data", 8))
    }
    line = {"tx": 1, "rx": 1} if settings.pins else stream
    io = [
        ("sys_clk", 0, Places(1)),
        ("sys_rst", 0, Places(1)),
        ("serial", 0, *(Subsignal(name, Places(bits)) for name, bits in line.items())),
    ]
    if settings.pins:
        io.append(("lights", 0, Places(len(LIGHTS))))
    build.mkdir(parents=True, exist_ok=True)
    with _quiet(), chdir(build):  # contents of memories go into the working directory
        soc = _make_soc(settings, SimPlatform("SIM", io), accelerator_module)
        soc.finalize()
        output = soc.platform.get_verilog(soc, name=TOP, regular_comb=False)
        output.write(f"{TOP}.v")
    text = (build / f"{TOP}.v").read_text(encoding="utf-8")
    processor = soc.cpu.variant and _processor_file(soc, Path(data_location))
    constants = _constants(soc, settings)
    header = "".join(f"#define SOC_{name} {value:#x}u\n" for name, value in constants.items())
    contents = re.search(r'\$readmemh\("(\S*rom\S*\.init)"', text)
    assert contents, "the ROM of the SoC has no file for its contents"
    sources = {f"{TOP}.v": _without_date(text), processor.name: processor.read_text(encoding="utf-8")}
    data = {name: content for name, content in output.data_files.items() if name != contents[1]}
    return SocDesign(sources, header, contents[1], data, constants)


def _processor_file(soc: Any, location: Path) -> Path:
    """The Verilog that LiteX takes for the processor."""
    from litex.soc.cores.cpu.vexriscv.core import CPU_VARIANTS as FILES

    return location / f"{FILES[soc.cpu.variant]}.v"


def _without_date(text: str) -> str:
    """LiteX writes the time into the first lines and the last."""
    return re.sub(r"^//.*(?:Date +:|Auto-Generated by LiteX on).*\n", "", text, flags=re.MULTILINE)


@contextmanager
def _quiet() -> Iterator[None]:
    """LiteX logs every step to the console."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _make_soc(settings: SocSettings, platform: Any, module: str) -> Any:
    from litex.gen import LiteXModule
    from litex.soc.integration.soc_core import SoCCore
    from migen import ClockDomain, Signal

    class Clocks(LiteXModule):
        def __init__(self) -> None:
            self.rst = Signal()
            self.cd_sys = ClockDomain()
            reset = platform.request("sys_rst")
            self.comb += [self.cd_sys.clk.eq(platform.request("sys_clk")), self.cd_sys.rst.eq(reset | self.rst)]

    pins = settings.pins
    soc = SoCCore(
        platform,
        pins.clock if pins else CLOCK,
        cpu_type="vexriscv",
        cpu_variant=settings.cpu,
        integrated_rom_size=settings.rom_bytes,
        integrated_rom_init=[0],
        integrated_sram_size=SRAM_BYTES,
        integrated_main_ram_size=settings.memory_bytes if settings.memory == "ram" else 0,
        uart_name="serial" if pins else "sim",
        uart_baudrate=pins.baud if pins else 115200,
        ident="",
        with_timer=False,
    )
    soc.crg = Clocks()
    if pins:
        from litex.soc.cores.gpio import GPIOOut

        soc.lights = GPIOOut(platform.request("lights"))
    if settings.memory == "sdram":
        add_sdram_model(soc)
    add_accelerator(soc, settings.accelerator, module)
    return soc


def add_sdram_model(soc: Any) -> None:
    """LiteDRAM's controller with its model of a chip behind it, as `litex_sim` does."""
    from litedram.modules import MT48LC16M16
    from litedram.phy.model import SDRAMPHYModel

    chip = MT48LC16M16(CLOCK, "1:1")
    from litedram.phy.model import get_sdram_phy_settings

    phy_settings = get_sdram_phy_settings(memtype=chip.memtype, data_width=16, clk_freq=CLOCK)
    soc.sdrphy = SDRAMPHYModel(module=chip, settings=phy_settings, clk_freq=CLOCK, verbosity=0)
    soc.add_sdram("sdram", phy=soc.sdrphy, module=chip, l2_cache_size=2048, l2_cache_reverse=False)


def add_accelerator(soc: Any, config: AcceleratorConfig, module: str) -> None:
    """Connect an accelerator to any SoC of LiteX: registers, memory port, interrupt."""
    from litex.soc.integration.soc import SoCRegion
    from litex.soc.interconnect import axi
    from migen import ClockSignal, Instance, ResetSignal, Signal

    registers = axi.AXILiteInterface(data_width=32, address_width=BUS_ADDRESS_BITS)
    memory = axi.AXIInterface(data_width=config.bus_bits, address_width=BUS_ADDRESS_BITS, id_width=1)
    soc.bus.add_slave(
        "fineq", registers, SoCRegion(origin=REGISTERS_ORIGIN, size=1 << ADDRESS_BITS, mode="rw", cached=False)
    )
    soc.bus.add_master("fineq", memory)
    soc.irq.add("fineq", use_loc_if_exists=True)
    interrupt = Signal()
    soc.comb += soc.cpu.interrupt[soc.irq.locs["fineq"]].eq(interrupt)
    ports: dict[str, Any] = {
        "i_clk": ClockSignal("sys"),
        "i_rst": ResetSignal("sys"),
        "i_bus_rst": ResetSignal("sys"),
        "o_irq": interrupt,
    }
    slave, master = axi_lite_slave_ports(ADDRESS_BITS), axi_master_ports(config)
    for bus, prefix, members in ((registers, SLAVE_PREFIX, slave), (memory, MASTER_PREFIX, master)):
        for name, member in members.items():
            ports[("o_" if member.flow.name == "Out" else "i_") + name] = _bus_signal(soc, bus, name, prefix, member)
    soc.specials += Instance(module, **ports)


def _bus_signal(soc: Any, bus: Any, name: str, prefix: str, member: Any) -> Any:
    """LiteX's signal for a port; one that it does not have is left open, or zero."""
    from migen import Signal

    channel, signal = re.fullmatch(rf"{prefix}_(aw|ar|w|r|b)(\w+)", name).groups()  # type: ignore[union-attr]
    found = getattr(getattr(bus, channel), signal, None)
    width = _width(member)
    if found is None:
        return Signal(width)
    if member.flow.name == "Out" and len(found) < width:  # an address: the bus has fewer bits
        wide = Signal(width)
        soc.comb += found.eq(wide)
        return wide
    return found[:width] if len(found) > width else found


def _width(member: Any) -> int:
    from amaranth.hdl import Shape

    return Shape.cast(member.shape).width


def _constants(soc: Any, settings: SocSettings) -> dict[str, int]:
    """What firmware must know, without the `SOC_` of their names in C."""
    regions = soc.mem_regions if hasattr(soc, "mem_regions") else soc.bus.regions
    memory = regions["main_ram"]
    constants = {
        "REGISTERS": REGISTERS_ORIGIN,
        "ROM": regions["rom"].origin,
        "ROM_BYTES": regions["rom"].size,
        "SRAM": regions["sram"].origin,
        "SRAM_BYTES": regions["sram"].size,
        "MEMORY": memory.origin,
        "MEMORY_BYTES": min(memory.size, settings.memory_bytes),
        "INTERRUPT": soc.irq.locs["fineq"],
        "DATA_CACHE": int(settings.cpu == "standard"),
        "SDRAM": int(settings.memory == "sdram"),
    }
    base = regions["csr"].origin
    there = {"uart": True, "sdram": settings.memory == "sdram", "lights": settings.pins is not None}
    for name in (name for name, has in there.items() if has):
        constants[f"{name.upper()}_CSR"] = base + soc.csr.paging * soc.csr.locs[name]
    return constants
