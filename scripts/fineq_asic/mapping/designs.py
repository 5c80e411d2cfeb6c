"""What is synthesised at a size: the FineQ cores and the MAC baselines, and how their cells divide into blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Library
from fineq_asic.mapping.yosys import MappingOptions
from fineq_asic.netlist.netlist import Instance, Module, Netlist
from fineq_hw.config import ARRAYS, MACS, ArrayConfig, MacConfig

KEPT_MODULES = (
    r"fineq_row_.*",
    r"fineq_array_.*",
    r"fineq_control_unit_.*",
    r"fineq_line_decoder_.*",
    r"fineq_activation_register_.*",
    r"fineq_mac_(row|array|skew|align|accumulator)_.*",
)
"""Modules that stay modules in the netlist."""

UNIT_MODULES = (
    r"fineq_processing_element_.*",
    r"fineq_temporal_encoder_.*",
    r"fineq_decoder",
    r"fineq_mac_element_.*",
)
"""Modules that are optimised once and then dissolved into their parents."""

BOTH_POLARITIES = (r"fineq_processing_element_.*",)
"""Modules that need activations and their complements. The MAC elements were tried and come out 1.5 % larger."""

OTHER_ROWS = "load of other rows"
"""Block of the inverters that stand for rows in `timing.thin`; never part of a result."""

_BLOCK_RULES = (
    # (module, instance, block); the first that matches counts
    (r".*_load", r".*", OTHER_ROWS),
    (r"fineq_row_.*", r".*\belement_\d+\..*", "processing elements"),
    (r"fineq_row_.*", r".*", "accumulators"),
    (r"fineq_activation_register_.*", r".*", "activation register"),
    (r"fineq_array_.*", r"fanout_.*", "broadcast buffers"),
    (r"fineq_array_.*", r".*\bcount_\w+\..*", "sign correction"),
    (r"fineq_array_.*", r".*", "temporal encoders"),
    (r"fineq_line_decoder_.*", r".*", "decoders"),
    (r"fineq_control_unit_.*", r".*", "control"),
    (r"fineq_\d.*_packed", r".*", "slice multiplexer"),
    (r"fineq_mac_row_.*", r".*", "processing elements"),
    (r"fineq_mac_accumulator_.*", r".*", "accumulators"),
    (r"fineq_mac_(skew|align)_.*", r".*", "skew and alignment"),
    (r"fineq_mac_array_.*", r".*", "broadcast buffers"),
    (r".*", r".*", "control"),
)

BLOCKS = (
    "decoders",
    "slice multiplexer",
    "control",
    "temporal encoders",
    "sign correction",
    "activation register",
    "skew and alignment",
    "broadcast buffers",
    "processing elements",
    "accumulators",
)
"""Blocks in the order of the tables."""

OUTSIDE_ARRAY = ("decoders", "slice multiplexer")
"""Blocks that are not part of the array, in the sense of Table III of the paper."""


@dataclass(frozen=True)
class Design:
    """One core to synthesise.

    Attributes:
        top: its name in `fineq_hw.export.verilog`.
        title: its name in reports.
        config: parameters.
        packed: fed with packed lines through the decoders.
    """

    top: str
    title: str
    config: ArrayConfig | MacConfig
    packed: bool

    @property
    def elements(self) -> int:
        """Processing elements."""
        return self.config.rows * self.config.columns

    def mapping(self, clock_ns: float, effort: str = "area") -> MappingOptions:
        return MappingOptions(clock_ns, KEPT_MODULES, UNIT_MODULES, BOTH_POLARITIES, effort=effort)


_NAME = r"(?:fineq|mac8x\d+)_(\d+x\d+)(?:_\w+)?"


def sizes() -> list[str]:
    """Sizes for which both FineQ cores and MAC arrays are named in `fineq_hw.config`, largest first."""
    arrays, macs = ({re.fullmatch(_NAME, name).group(1) for name in named} for named in (ARRAYS, MACS))
    return sorted(arrays & macs, key=lambda size: [-int(part) for part in size.split("x")])


def designs_of(size: str) -> list[Design]:
    """The cores of one size, FineQ first: every configuration that `fineq_hw.config` names.

    MAC arrays of more than `MANY_ELEMENTS` elements come with latches only, the storage that is smaller.

    Raises:
        SynthesisError: the size is unknown.
    """
    if size not in sizes():
        raise SynthesisError(f"unknown size {size!r}: choose one of {', '.join(sizes())}")
    arrays = {name: c for name, c in ARRAYS.items() if re.fullmatch(_NAME, name).group(1) == size}
    macs = {name: c for name, c in MACS.items() if re.fullmatch(_NAME, name).group(1) == size}
    if any(c.rows * c.columns > MANY_ELEMENTS for c in macs.values()):
        macs = {name: c for name, c in macs.items() if c.activation_storage == "latch"}
    order = sorted(macs, key=lambda name: (-macs[name].weight_bits, macs[name].activation_storage))
    result = [Design(f"{name}_packed", array_title(c), c, True) for name, c in arrays.items()]
    return result + [Design(name, mac_title(macs[name]), macs[name], False) for name in order]


MANY_ELEMENTS = 1024
_STORAGE = {"gated-flop": "flip-flops", "latch": "latches"}


def array_title(config: ArrayConfig) -> str:
    """Name of a FineQ array in reports."""
    return f"FineQ {config.encoding}, sign per {config.sign_handling}, {_STORAGE[config.activation_storage]}"


def mac_title(config: MacConfig) -> str:
    """Name of a MAC array in reports."""
    bits = f"{config.activation_bits}x{config.weight_bits}"
    return f"MAC {bits}, {config.weight_path} weights, {_STORAGE[config.activation_storage]}"


def attribute_blocks(netlist: Netlist, library: Library) -> dict[tuple[str, str], str]:
    """Block of every cell, by (module, instance).

    Clock gates and buffers inside a row belong to what they drive.
    """
    result: dict[tuple[str, str], str] = {}
    for module in netlist.modules.values():
        sinks = _sinks(module, library)
        for instance in module.instances:
            if instance.kind in netlist.modules:
                continue
            named = _follow(instance, sinks, library)
            result[module.name, instance.name] = _block(module.name, named.name)
    return result


def _sinks(module: Module, library: Library) -> dict[int, Instance]:
    """First cell that each net drives."""
    sinks: dict[int, Instance] = {}
    for instance in module.instances:
        if instance.kind in library.cells:
            for pin in library.cells[instance.kind].inputs:
                for bit in instance.pins.get(pin.name, []):
                    sinks.setdefault(bit, instance)
    return sinks


def _follow(instance: Instance, sinks: dict[int, Instance], library: Library) -> Instance:
    for _ in range(8):
        cell = library.cells[instance.kind]
        auxiliary = cell.clock_gate or instance.name.startswith("fanout_")
        following = sinks.get(instance.pins[cell.outputs[0].name][0]) if auxiliary else None
        if following is None:
            return instance
        instance = following
    return instance


def _block(module: str, instance: str) -> str:
    return next(block for m, i, block in _BLOCK_RULES if re.fullmatch(m, module) and re.fullmatch(i, instance))
