"""Entries of the regression: what a run consists of, and how entries of each kind are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq_hw.config import ACCELERATORS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_sim.bench.settings import INPUT_PORTS
from fineq_sim.reference.golden import make_golden
from fineq_sim.reference.payloads import find_config
from fineq_sim.runs.duts import accelerator_design, adder_tree_design, component_design
from fineq_sim.runs.runner import VerilogDesign
from fineq_sim.runs.simulators import SIMULATORS

VERILATOR_ALONE = ("verilator",)
"""For runs that keep Icarus busy for minutes."""


@dataclass(frozen=True)
class GoldenShape:
    """Golden vectors that a run needs: outputs N, inputs K, tokens M."""

    channels: int
    inner: int
    tokens: int

    def make(self, directory: Path) -> Path:
        """Write them under `directory` unless they are there."""
        key = cache_key("fineq_sim.reference.golden", inputs=self)
        target = directory / f"golden-{self.channels}x{self.inner}x{self.tokens}-{key}"
        if not (target / "manifest.json").is_file():
            make_golden(target, self.channels, self.inner, self.tokens)
        return target


@dataclass(frozen=True)
class BenchRun:
    """One entry of the regression.

    Attributes:
        name: `module/configuration`.
        bench: module under `fineq_sim.benches`.
        design: makes the Verilog; called with `cache`, the directory of kept designs.
        parameters: for the testbench.
        golden: golden vectors that the testbench reads.
        simulators: where it runs; what takes minutes on Icarus runs on Verilator alone.
        quick: part of the lean regression in `make test`.
        tests: regular expression; only these tests of the bench.
        large: coverage leaves it out unless asked for: a module has the same lines at every size of the array, and
            the behavioural trees are for simulation only.
        random_start: registers and memories have no initial values.
        optimized: simulates so long that compiling for speed pays: whole machines, but for short checks on the largest.
    """

    name: str
    bench: str
    design: Callable[..., VerilogDesign]
    parameters: Mapping[str, object] = field(default_factory=dict)
    golden: GoldenShape | None = None
    simulators: tuple[str, ...] = SIMULATORS
    quick: bool = False
    tests: str | None = None
    large: bool = False
    random_start: bool = False
    optimized: bool = False

    def settings(self, design: VerilogDesign, output: Path) -> dict[str, object]:
        """What the testbench needs to know of the run and of its design.

        Args:
            design: that it runs on.
            output: directory for golden vectors.
        """
        settings = dict(self.parameters)
        if self.golden is not None:
            settings["golden"] = str(self.golden.make(output.absolute() / "golden"))
        ports = design.manifest.entry(design.top).ports
        settings[INPUT_PORTS] = [port.name for port in ports if port.direction == "input" and port.bits]
        return settings

    def powered_up(self) -> BenchRun:
        """The same run on a design that begins as silicon does: registers and memories hold anything."""
        return replace(self, name=f"{self.name}_power_up", random_start=True, quick=False)


_BENCHES = {
    "accumulator": "array.accumulator_bench",
    "control_unit": "array.control_unit_bench",
    "processing_array": "array.processing_array_bench",
    "processing_element": "array.processing_element_bench",
    "temporal_encoder": "array.temporal_encoder_bench",
    "line_decoder": "decode.line_decoder_bench",
    "gearbox": "buffers.gearbox_bench",
    "input_buffer": "buffers.input_buffer_bench",
    "output_buffer": "buffers.output_buffer_bench",
    "parameter_buffer": "buffers.parameter_buffer_bench",
    "weight_buffer": "buffers.weight_buffer_bench",
    "read_dma": "dma.read_dma_bench",
    "write_dma": "dma.write_dma_bench",
    "vector_unit": "vector.vector_unit_bench",
    "csr": "control.csr_bench",
    "descriptor_unit": "control.descriptor_unit_bench",
    "job_control": "control.job_control_bench",
    "tile_walk": "control.tile_walk_bench",
    "write_back": "control.write_back_bench",
    "watchdog": "control.watchdog_bench",
}
"""Testbench of each component, by the name that `duts` has for it."""


_LARGE_ELEMENTS = 256


def _is_large(config: ArrayConfig | MacConfig | AcceleratorConfig) -> bool:
    array = config.array if isinstance(config, AcceleratorConfig) else config
    behavioural = isinstance(array, ArrayConfig) and array.adder_tree == "behavioural"
    return behavioural or array.rows * array.columns >= _LARGE_ELEMENTS


def component_run(
    kind: str, config: str | ArrayConfig | MacConfig | AcceleratorConfig, bench: str | None = None, **options
) -> BenchRun:
    """A run on a component; the testbench gets the parameters of the configuration, whatever its name."""
    if isinstance(config, str):
        label, config = config, find_config(config)
    else:
        assert not isinstance(config, AcceleratorConfig), "a machine goes by its name"
        label = f"{config.rows}x{config.columns}"
    if "activation_storage" in options:
        config = replace(config, activation_storage=options.pop("activation_storage"))
    tree = options.pop("adder_tree", None)
    if tree:
        config = replace(config, adder_tree=tree)
        label += f"_{tree}"
    parameters: dict[str, object] = {"config": asdict(config), "core": kind, **options.pop("parameters", {})}
    make = partial(component_design, kind, config)
    name = f"{options.pop('name', kind)}/{label}"
    return BenchRun(name, bench or _BENCHES[kind], make, parameters, large=_is_large(config), **options)


def part_run(kind: str, config: str, bench: str, **options) -> BenchRun:
    """A run on what a component holds, such as `write_dma.lengths`."""
    return component_run(kind, config, bench, parameters={"part": kind.partition(".")[2]}, **options)


def core_run(kind: str, config: str | ArrayConfig | MacConfig, vectors: int = 40, **options) -> BenchRun:
    return component_run(kind, config, "array.core_bench", parameters={"vectors": vectors}, **options)


def layer_run(kind: str, config: str | ArrayConfig, shape: GoldenShape, **options) -> BenchRun:
    return component_run(kind, config, "array.layer_bench", name=f"layer_{kind}", golden=shape, **options)


def _tree(name: str, operand_bits: list[int], sum_bits: int, structure: str, constant: int = 0, **options) -> BenchRun:
    quick = options.pop("quick", False)
    return BenchRun(
        f"adder_tree/{name}_{structure}",
        "cells.adder_tree_bench",
        partial(adder_tree_design, operand_bits, sum_bits, constant=constant, structure=structure, **options),
        {"operand_bits": operand_bits, "constant": constant},
        quick=quick,
        large=structure == "behavioural",
    )


def tree_runs() -> list[BenchRun]:
    runs = []
    for structure in ("structural", "behavioural"):
        runs += [
            _tree("row_64x8", [8] * 64 + [7, 24], 24, structure, constant=-64 << 7),
            _tree("mixed", [8, 3, 1, 12, 5, 1, 9], 13, structure, constant=77, quick=structure == "structural"),
            _tree("popcount_9", [1] * 9, 4, structure, ripple_columns=4),
            _tree("one_operand", [6], 6, structure),
        ]
    return runs


def changed_run(kind: str, base: str, **changes) -> BenchRun:
    """A run on a block of a named accelerator of which some parameters are changed."""
    config = replace(find_config(base), **changes)
    label = "_".join([base, *(f"{name}_{value}" for name, value in changes.items())])
    make = partial(component_design, kind, config)
    return BenchRun(f"{kind}/{label}", _BENCHES[kind], make, {"config": asdict(config)}, large=_is_large(config))


def machine_run(kind: str, name: str, **options) -> BenchRun:
    """A run of the bench `kind` on a whole accelerator."""
    config = find_config(name)
    assert isinstance(config, AcceleratorConfig)
    make = partial(accelerator_design, config)
    parameters = {"config": asdict(config)}
    options |= {"large": _is_large(config), "optimized": True}
    return BenchRun(f"{kind}/{name}", f"machine.{kind}_bench", make, parameters, **options)


def shared_port_run(name: str) -> BenchRun:
    """A named machine behind memories that serve one burst at a time or answer late.

    All of them on Verilator, the small ones on Icarus too. Of the largest arrays, with behavioural adder trees, which
    change nothing on the bus, the shortest checks.
    """
    config = ACCELERATORS[name]
    elements = config.array.rows * config.array.columns
    if elements > _LARGE_ELEMENTS and isinstance(config.array, ArrayConfig):
        config = replace(config, array=replace(config.array, adder_tree="behavioural"))
    return BenchRun(
        f"driver/{name}_shared_port",
        "machine.shared_port_bench",
        partial(accelerator_design, config),
        {"config": asdict(config)},
        simulators=VERILATOR_ALONE if _is_large(config) else SIMULATORS,
        tests=r"check=(chain|bus_errors)/" if elements > _LARGE_ELEMENTS else None,
        large=_is_large(config),
        # Two short checks do not pay for what the compiler spends on the largest arrays: a quarter of an hour.
        optimized=elements <= _LARGE_ELEMENTS,
    )


def around_run(name: str, config: AcceleratorConfig, quick: bool) -> BenchRun:
    """Legal and illegal work on a machine around a named array, linted, without the long checks."""
    return BenchRun(
        f"driver/around_{name}",
        "machine.driver_bench",
        partial(accelerator_design, config, check=True),
        {"config": asdict(config)},
        simulators=VERILATOR_ALONE,
        quick=quick,
        tests=r"check=(identification|sums|outputs|counters|refusals)/stall=0\.4",
        optimized=True,
    )
