"""The machine of a study: a named accelerator or a YAML file with the fields of `AcceleratorConfig` and what is around.

base: accelerator_64x64           # a named accelerator, whose fields hold where nothing else is said
array: {encoding: cluster, sign_handling: column, activation_storage: latch}   # or mac: {weight_bits: 3, ...}
outstanding_reads: 16
clock_mhz: 400
memory: {kind: fixed, latency: 40, words_per_cycle: 1}      # or {kind: dram, part: HBM2 pseudo channel, latency: 10}
attention: {macs_per_cycle: 4096, pj_per_mac: 2.2, cache_bytes: 2}
energy: {design: mac8x3_64x64_broadcast_latch, dram_pj_per_bit: {own: 6}, empty_rows: zeroed}
extrapolate: true                 # allow a bus that the RTL cannot be built with; every table says so
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from fineq.common.errors import FineqError
from fineq_hw.config import ACCELERATORS, BUS_BITS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_sim.driver.memory_timing import DRAM_PARTS, MemoryTiming
from fineq_sim.energy.events import EMPTY_ROWS

LATENCY = 40
"""Cycles to the first word of the memory where nothing is said: 100 ns at 400 MHz."""

EXTRAPOLATED_BUS_BITS = (256, 512)
"""Widths of the bus that can be estimated without RTL."""

_TOP = ("base", "array", "mac", "clock_mhz", "memory", "attention", "energy", "extrapolate")


class ArchitectureError(FineqError):
    """A machine that cannot be; the text says why."""


@dataclass(frozen=True)
class ExtrapolatedConfig(AcceleratorConfig):
    """A machine like one that can be built, but for a wider bus."""

    def __post_init__(self) -> None:
        if self.bus_bits not in EXTRAPOLATED_BUS_BITS:
            raise ValueError(
                f"bus_bits is {self.bus_bits}: choose one of {', '.join(map(str, BUS_BITS + EXTRAPOLATED_BUS_BITS))}"
            )
        AcceleratorConfig(**{each.name: getattr(self, each.name) for each in fields(self)} | {"bus_bits": BUS_BITS[-1]})


@dataclass(frozen=True)
class AttentionUnit:
    """A unit beside the array for products without packed weights, over the same bus, never at the same time.

    Attributes:
        macs_per_cycle: None: one for each element of the array.
        pj_per_mac: None: that of the 8 x 8 bit MAC array of the same size, if it was synthesised.
        cache_bytes: of an element of keys and values.
        head_bytes: of a weight that is not packed.
    """

    macs_per_cycle: int | None = None
    pj_per_mac: float | None = None
    cache_bytes: float = 2
    head_bytes: float = 1

    def __post_init__(self) -> None:
        for name in ("macs_per_cycle", "pj_per_mac", "cache_bytes", "head_bytes"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise ArchitectureError(f"attention: {name} is {value!r}: a number above 0")


@dataclass(frozen=True)
class EnergyChoice:
    """Where energies come from, beside the defaults.

    Attributes:
        design: synthesised design that stands for the array; None: the array itself.
        dram_pj_per_bit: by name; empty: the published figures of `fineq_sim.energy.dram`.
        empty_rows: what rows of the array without a token hold: one of `fineq_sim.energy.events.EMPTY_ROWS`.
    """

    design: str | None = None
    dram_pj_per_bit: Mapping[str, float] = field(default_factory=dict)
    empty_rows: str = EMPTY_ROWS[0]

    def __post_init__(self) -> None:
        if self.empty_rows not in EMPTY_ROWS:
            raise ArchitectureError(f"energy: empty_rows is {self.empty_rows!r}: choose one of {', '.join(EMPTY_ROWS)}")
        if not isinstance(self.dram_pj_per_bit, Mapping):
            raise ArchitectureError("energy: dram_pj_per_bit must name its figures, such as {own: 6}")
        for name, value in self.dram_pj_per_bit.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ArchitectureError(f"energy: dram_pj_per_bit of {name} is {value!r}: a number above 0")


@dataclass(frozen=True)
class Architecture:
    """The machine of a study.

    Attributes:
        name: for tables.
        config: the accelerator.
        memory: at its port; `memory.clock_mhz` is the clock.
        attention, energy: see there.
    """

    name: str
    config: AcceleratorConfig
    memory: MemoryTiming = MemoryTiming(latency=LATENCY)
    attention: AttentionUnit = AttentionUnit()
    energy: EnergyChoice = EnergyChoice()

    @property
    def clock_mhz(self) -> float:
        return self.memory.clock_mhz

    @property
    def extrapolated(self) -> bool:
        """The RTL cannot be built so."""
        return isinstance(self.config, ExtrapolatedConfig)

    @property
    def port_bytes(self) -> float:
        """Bytes a cycle that the memory gives at most."""
        if self.memory.dram is not None:
            return min(self.config.bus_bytes, self.memory.dram.gigabytes_per_second * 1e3 / self.clock_mhz)
        return self.config.bus_bytes * self.memory.words_per_cycle

    @property
    def title(self) -> str:
        """Its name, with a mark if it is extrapolated."""
        return f"{self.name} (extrapolated: no RTL)" if self.extrapolated else self.name


def find_architecture(which: str) -> Architecture:
    """A named accelerator, or one that a YAML file describes.

    Raises:
        ArchitectureError: there is none, or it cannot be.
    """
    if which in ACCELERATORS:
        return Architecture(which, ACCELERATORS[which])
    path = Path(which)
    if not path.is_file():
        near = get_close_matches(which, ACCELERATORS, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ArchitectureError(
            f"there is no accelerator or file {which!r}: {hint}Known are {', '.join(ACCELERATORS)}, or a YAML file"
        )
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArchitectureError(f"cannot read {path} as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(described, dict):
        raise ArchitectureError(f"{path} must be a list of settings, such as `base: accelerator_64x64`")
    try:
        return read_architecture(path.stem, described)
    except FineqError as error:
        raise ArchitectureError(f"{path}: {error}") from error


def read_architecture(name: str, described: Mapping[str, Any]) -> Architecture:
    """A machine from its settings; see the head of this file.

    Raises:
        ArchitectureError: a setting is unknown or impossible.
    """
    base = described.get("base", "accelerator_64x64")
    if base not in ACCELERATORS:
        raise ArchitectureError(f"base is {base!r}: choose one of {', '.join(ACCELERATORS)}")
    config = ACCELERATORS[base]
    settings = {key: value for key, value in described.items() if key not in _TOP}
    known = {each.name for each in fields(AcceleratorConfig)} - {"array"}
    _check_known(settings, known | set(_TOP), "setting")
    try:
        settings["array"] = _array(config, described)
        if config.array != settings["array"] and "final_channels" not in settings and "channels_per_tile" in settings:
            settings["final_channels"] = min(config.final_channels, settings["channels_per_tile"])
        extrapolate = described.get("extrapolate", False)
        if settings.get("bus_bits", config.bus_bits) in EXTRAPOLATED_BUS_BITS:
            if extrapolate is not True:
                raise ArchitectureError(
                    f"bus_bits is {settings['bus_bits']}: the RTL has {' or '.join(map(str, BUS_BITS))}; with "
                    "`extrapolate: true` it is estimated, and every table says so"
                )
            values = {each.name: getattr(config, each.name) for each in fields(config)} | settings
            config = ExtrapolatedConfig(**values)
        else:
            config = replace(config, **settings)
    except (ValueError, TypeError) as error:
        raise ArchitectureError(str(error)) from error
    return Architecture(
        name,
        config,
        _memory(described.get("memory", {}), described.get("clock_mhz", MemoryTiming.clock_mhz)),
        AttentionUnit(**_section(described, "attention", AttentionUnit)),
        EnergyChoice(**_section(described, "energy", EnergyChoice)),
    )


def _array(config: AcceleratorConfig, described: Mapping[str, Any]) -> ArrayConfig | MacConfig:
    if "array" in described and "mac" in described:
        raise ArchitectureError("both array and mac are described: choose one")
    kind: type[ArrayConfig] | type[MacConfig] = MacConfig if "mac" in described else ArrayConfig
    key = "mac" if "mac" in described else "array"
    if key not in described:
        return config.array
    settings = _section(described, key, kind)
    if isinstance(config.array, kind):
        return replace(config.array, **settings)
    sizes = {name: getattr(config.array, name) for name in ("rows", "columns")}
    return kind(**sizes | settings)


def _section(described: Mapping[str, Any], key: str, kind: type) -> dict[str, Any]:
    """A part of the settings, whose names are fields of a class."""
    part = described.get(key, {})
    if not isinstance(part, Mapping):
        raise ArchitectureError(f"{key} is {part!r}: it must be a list of settings")
    _check_known(part, {each.name for each in fields(kind)}, f"setting of {key}")
    return dict(part)


def _check_known(part: Mapping[str, Any], known: set[str], what: str) -> None:
    for name in part:
        if name not in known:
            near = get_close_matches(str(name), known, n=1)
            hint = f", did you mean {near[0]}?" if near else f": choose from {', '.join(sorted(known))}"
            raise ArchitectureError(f"unknown {what} {name!r}{hint}")


def _memory(part: Any, clock_mhz: Any) -> MemoryTiming:
    if not isinstance(part, Mapping):
        raise ArchitectureError(f"memory is {part!r}: it must be a list of settings")
    kind = part.get("kind", "fixed")
    if kind not in ("fixed", "dram"):
        raise ArchitectureError(f"memory: kind is {kind!r}: choose fixed or dram")
    _check_known(part, {"kind", "latency", "part" if kind == "dram" else "words_per_cycle"}, "setting of memory")
    if kind == "dram" and part.get("part") not in DRAM_PARTS:
        raise ArchitectureError(f"memory: part is {part.get('part')!r}: choose one of {', '.join(DRAM_PARTS)}")
    numbers = {"latency": part.get("latency", LATENCY), "words_per_cycle": part.get("words_per_cycle", 1)}
    for name, value in (*numbers.items(), ("clock_mhz", clock_mhz)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ArchitectureError(f"{name} is {value!r}: it must be a number")
    if numbers["latency"] != int(numbers["latency"]):
        raise ArchitectureError(f"latency is {numbers['latency']}: it must be whole cycles")
    try:
        return MemoryTiming(
            int(numbers["latency"]),
            float(numbers["words_per_cycle"]),
            dram=DRAM_PARTS[part["part"]] if kind == "dram" else None,
            clock_mhz=float(clock_mhz),
        )
    except ValueError as error:
        raise ArchitectureError(f"memory: {error}") from error
