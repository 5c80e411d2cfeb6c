"""What is synthesised at a size: the FineQ cores and the MAC baselines."""

from __future__ import annotations

from dataclasses import dataclass

from fineq_asic.errors import SynthesisError
from fineq_asic.mapping.placed_cells import check_placed
from fineq_asic.mapping.yosys import MappingOptions
from fineq_hw.config import ARRAYS, MACS, ArrayConfig, MacConfig
from fineq_hw.export.manifest import Manifest, ModuleEntry
from fineq_hw.lib.role import CoreBlock, Synthesis

BLOCKS = tuple(block.value for block in CoreBlock)
"""Blocks in the order of the tables."""

OUTSIDE_ARRAY = (CoreBlock.DECODERS.value, CoreBlock.SLICE_MULTIPLEXER.value)
"""Blocks that are not part of the array, in the sense of Table III of the paper."""


@dataclass(frozen=True)
class CoreDesign:
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

    @property
    def size(self) -> str:
        """Such as `64x64`."""
        return size_of(self.config)

    def mapping(self, manifest: Manifest, clock_ns: float, effort: str = "area") -> MappingOptions:
        """How to map it: what stays a module and what is a unit is what its components say.

        Args:
            manifest: of its Verilog.
            clock_ns, effort: as in `MappingOptions`.

        Raises:
            SynthesisError: the manifest has no such design, or a component of it does not say what it is.
        """
        if self.top not in manifest.tops:
            raise SynthesisError(f"the manifest of the Verilog has no top {self.top}")
        entries = {name: manifest.entry(name) for name in manifest.tops[self.top]}
        for name, entry in entries.items():
            check_declared(name, entry)
        check_placed(manifest, entries)
        return MappingOptions(
            clock_ns,
            tuple(name for name, entry in entries.items() if entry.synthesis == Synthesis.KEEP),
            tuple(name for name, entry in entries.items() if entry.synthesis == Synthesis.UNIT),
            tuple(name for name, entry in entries.items() if entry.both_polarities),
            effort=effort,
        )


def check_declared(module: str, entry: ModuleEntry) -> None:
    """A component must say what it is to the reports and to synthesis.

    Raises:
        SynthesisError: it does not.
    """
    if not entry.declared:
        raise SynthesisError(f"{entry.component}, the component of module {module}, does not say which block it is")


def size_of(config: ArrayConfig | MacConfig) -> str:
    """Rows and columns of an array, such as `64x64`."""
    return f"{config.rows}x{config.columns}"


def sizes() -> list[str]:
    """Sizes for which both FineQ cores and MAC arrays are named in `fineq_hw.config`, largest first."""
    arrays, macs = ({size_of(config) for config in named.values()} for named in (ARRAYS, MACS))
    return sorted(arrays & macs, key=lambda size: [-int(part) for part in size.split("x")])


def designs_of(size: str) -> list[CoreDesign]:
    """The cores of one size, FineQ first: every configuration that `fineq_hw.config` names.

    MAC arrays of more than `MANY_ELEMENTS` elements come with latches only, the storage that is smaller.

    Raises:
        SynthesisError: the size is unknown.
    """
    if size not in sizes():
        raise SynthesisError(f"unknown size {size!r}: choose one of {', '.join(sizes())}")
    arrays = {name: c for name, c in ARRAYS.items() if size_of(c) == size}
    macs = {name: c for name, c in MACS.items() if size_of(c) == size}
    if any(c.rows * c.columns > MANY_ELEMENTS for c in macs.values()):
        macs = {name: c for name, c in macs.items() if c.activation_storage == "latch"}
    order = sorted(macs, key=lambda name: (-macs[name].weight_bits, macs[name].activation_storage))
    result = [CoreDesign(f"{name}_packed", array_title(c), c, True) for name, c in arrays.items()]
    return result + [CoreDesign(name, mac_title(macs[name]), macs[name], False) for name in order]


MANY_ELEMENTS = 1024
_STORAGE = {"gated-flop": "flip-flops", "latch": "latches"}


def array_title(config: ArrayConfig) -> str:
    """Name of a FineQ array in reports."""
    return f"FineQ {config.encoding}, sign per {config.sign_handling}, {_STORAGE[config.activation_storage]}"


def mac_title(config: MacConfig) -> str:
    """Name of a MAC array in reports."""
    bits = f"{config.activation_bits}x{config.weight_bits}"
    made = ""
    if config.multiplier == "digits":
        made = f", by hand, a register every {config.register_columns} columns"
    return f"MAC {bits}, {config.weight_path} weights{made}, {_STORAGE[config.activation_storage]}"
