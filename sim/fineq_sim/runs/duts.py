"""Verilog of the modules under test: exactly what `fineq_hw.export.verilog` delivers, kept between runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fineq.common.cache_keys import cache_key
from fineq.common.files import write_text
from fineq_hw.config import AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.export.manifest import Manifest
from fineq_sim.runs.runner import VerilogDesign, default_cache

if TYPE_CHECKING:
    from amaranth.lib.wiring import Component

    from fineq_hw.lib.hierarchy import VerilogComponent


def _kept(
    top: str, key: str, make: Callable[[], Component], cache: Path | None, initial_values: bool, check: bool = False
) -> VerilogDesign:
    """The design of a component from the cache, or made now and kept there."""
    directory = (default_cache() if cache is None else cache) / "verilog"
    name = cache_key("fineq_hw.export.conversion", __name__, inputs=[top, key, initial_values, check])
    file = directory / f"{top}-{name}.json"
    if file.is_file():
        kept = json.loads(file.read_text())
        manifest = Manifest.from_dict(kept["tops"], kept["modules"])
        return VerilogDesign(top, kept["sources"], manifest, kept["outputs"])
    made = _convert(top, make(), initial_values, check)
    document = {
        "sources": dict(made.sources),
        "tops": made.manifest.tops,
        "modules": made.manifest.as_dict(),
        "outputs": dict(made.outputs),
    }
    write_text(file, json.dumps(document))
    return made


def _convert(top: str, component: Component, initial_values: bool, check: bool) -> VerilogDesign:
    """The Verilog of a component; `check`: Verilator's lint must have nothing to say about it."""
    from fineq_hw.export.conversion import convert
    from fineq_hw.export.lint import lint
    from fineq_sim.runs.output_rules import output_rules

    texts, manifest = convert({top: component}, initial_values=initial_values)
    sources = {f"{name}.v": text for name, text in texts.items()}
    if check:
        with tempfile.TemporaryDirectory() as directory:
            for name, text in sources.items():
                write_text(Path(directory) / name, text)
            complaints = lint(top, sorted(Path(directory).iterdir()))
        if complaints:
            raise ValueError(f"Verilator complains about the Verilog of {top}: {complaints[0]}")
    return VerilogDesign(top, sources, manifest, output_rules(component))


def _placed(component: VerilogComponent, instance: str) -> VerilogComponent:
    """What a component holds under a name."""
    from fineq_hw.lib.hierarchy import Placed, collecting

    with collecting(Placed()) as placed:
        component.elaborate(None)
    if instance not in placed.instances:
        holds = ", ".join(placed.instances) or "nothing"
        raise ValueError(f"{component.KIND} holds no {instance!r}: it holds {holds}")
    return placed.modules[placed.instances[instance]]


def component_design(
    kind: str,
    config: ArrayConfig | MacConfig | AcceleratorConfig,
    cache: Path | None = None,
    *,
    initial_values: bool = True,
) -> VerilogDesign:
    """A component that takes a configuration and nothing else.

    Args:
        kind: temporal, packed, mac (the cores), or the name of a smaller module such as `control_unit`; encoders
            and processing elements are those of the first group of columns. `write_dma.lengths` is what the module
            write_dma holds as `lengths`.
        config: its configuration.
        cache: directory of kept designs, `default_cache()` when omitted.
        initial_values: of registers and memories (`fineq_hw.export.conversion.convert`).

    Raises:
        ValueError: unknown kind, or none that the module holds.
    """

    def make() -> Component:
        from fineq_hw.array.accumulator import Accumulator
        from fineq_hw.array.control_unit import ControlUnit
        from fineq_hw.array.core import PackedCore, TemporalCore
        from fineq_hw.array.encodings.registry import groups
        from fineq_hw.array.processing_array import ProcessingArray
        from fineq_hw.array.processing_element import ProcessingElement
        from fineq_hw.baseline.mac_core import MacCore
        from fineq_hw.buffers.gearbox import Gearbox
        from fineq_hw.buffers.input_buffer import InputBuffer
        from fineq_hw.buffers.output_buffer import OutputBuffer
        from fineq_hw.buffers.parameter_buffer import ParameterBuffer
        from fineq_hw.buffers.weight_buffer import WeightBuffer
        from fineq_hw.control.csr import ControlStatusRegisters
        from fineq_hw.control.descriptor_unit import DescriptorUnit
        from fineq_hw.control.job_control import JobControl
        from fineq_hw.control.tile_walk import TileWalk
        from fineq_hw.control.watchdog import Watchdog
        from fineq_hw.control.write_back import WriteBack
        from fineq_hw.decode.line_decoder import LineDecoder
        from fineq_hw.dma.read_dma import ReadDma
        from fineq_hw.dma.write_dma import WriteDma
        from fineq_hw.vector.vector_unit import VectorUnit

        components: dict[str, Callable[[Any], VerilogComponent]] = {
            "line_decoder": LineDecoder,
            "temporal_encoder": lambda config: groups(config)[0].make_encoder(),
            "processing_element": lambda config: ProcessingElement(groups(config)[0]),
            "accumulator": Accumulator,
            "processing_array": ProcessingArray,
            "control_unit": ControlUnit,
            "temporal": TemporalCore,
            "packed": PackedCore,
            "mac": MacCore,
            "csr": ControlStatusRegisters,
            "descriptor_unit": DescriptorUnit,
            "job_control": JobControl,
            "read_dma": ReadDma,
            "write_dma": WriteDma,
            "vector_unit": VectorUnit,
            "tile_walk": TileWalk,
            "gearbox": lambda config: Gearbox(config.bus_bytes, config.line_bytes, config.channels_per_tile),
            "input_buffer": InputBuffer,
            "weight_buffer": WeightBuffer,
            "output_buffer": OutputBuffer,
            "parameter_buffer": ParameterBuffer,
            "write_back": WriteBack,
            "watchdog": lambda config: Watchdog(),
        }
        whole, _, part = kind.partition(".")
        if whole not in components:
            raise ValueError(f"unknown component {whole!r}: choose one of {', '.join(components)}")
        component = components[whole](config)
        return _placed(component, part) if part else component

    return _kept(f"dut_{kind.replace('.', '_')}", repr(config), make, cache, initial_values)


def accelerator_design(
    config: AcceleratorConfig, cache: Path | None = None, *, check: bool = False, initial_values: bool = True
) -> VerilogDesign:
    """The whole accelerator, or its MAC baseline if the configuration has a MAC array.

    Args:
        config: its configuration.
        cache, initial_values: see `component_design`.
        check: lint it before it is kept.

    Raises:
        ToolError: Verilator, which lints, is missing.
        ValueError: the lint has a complaint.
    """

    def make() -> Component:
        from fineq_hw.accelerator import make_accelerator

        return make_accelerator(config)

    return _kept("dut_accelerator", repr(config), make, cache, initial_values, check)


def decoder_design(cache: Path | None = None) -> VerilogDesign:
    """The decoder of one cluster; it has no registers."""

    def make() -> Component:
        from fineq_hw.decode.decoder import Decoder

        return Decoder()

    return _kept("dut_decoder", "", make, cache, initial_values=True)


def adder_tree_design(operand_bits: list[int], sum_bits: int, cache: Path | None = None, **options) -> VerilogDesign:
    """An adder tree, without registers; options: see `fineq_hw.cells.adder_tree.AdderTree`."""

    def make() -> Component:
        from fineq_hw.cells.adder_tree import AdderTree

        return AdderTree(operand_bits, sum_bits, **options)

    key = repr((operand_bits, sum_bits, sorted(options.items())))
    return _kept("dut_adder_tree", key, make, cache, initial_values=True)
