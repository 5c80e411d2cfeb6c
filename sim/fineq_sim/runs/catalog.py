"""The regression: which bench runs on which module in which configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.format.temporal import ENCODINGS
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig, name_part
from fineq_sim.reference.golden import make_golden
from fineq_sim.reference.payloads import find_config
from fineq_sim.runs.duts import accelerator_design, adder_tree_design, component_design, decoder_design
from fineq_sim.runs.runner import VerilogDesign
from fineq_sim.runs.simulators import SIMULATORS


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
}
"""Testbench of each component, by the name that `duts` has for it."""


_LARGE_ELEMENTS = 256


def _is_large(config: ArrayConfig | MacConfig | AcceleratorConfig) -> bool:
    array = config.array if isinstance(config, AcceleratorConfig) else config
    behavioural = isinstance(array, ArrayConfig) and array.adder_tree == "behavioural"
    return behavioural or array.rows * array.columns >= _LARGE_ELEMENTS


def _component(
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


def _core(kind: str, config: str | ArrayConfig | MacConfig, vectors: int = 40, **options) -> BenchRun:
    return _component(kind, config, "array.core_bench", parameters={"vectors": vectors}, **options)


def _layer(kind: str, config: str | ArrayConfig, shape: GoldenShape, **options) -> BenchRun:
    return _component(kind, config, "array.layer_bench", name=f"layer_{kind}", golden=shape, **options)


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


def _trees() -> list[BenchRun]:
    runs = []
    for structure in ("structural", "behavioural"):
        runs += [
            _tree("row_64x8", [8] * 64 + [7, 24], 24, structure, constant=-64 << 7),
            _tree("mixed", [8, 3, 1, 12, 5, 1, 9], 13, structure, constant=77, quick=structure == "structural"),
            _tree("popcount_9", [1] * 9, 4, structure, ripple_columns=4),
            _tree("one_operand", [6], 6, structure),
        ]
    return runs


def _changed(kind: str, base: str, **changes) -> BenchRun:
    """A run on a block of a named accelerator of which some parameters are changed."""
    config = replace(find_config(base), **changes)
    label = "_".join([base, *(f"{name}_{value}" for name, value in changes.items())])
    make = partial(component_design, kind, config)
    return BenchRun(f"{kind}/{label}", _BENCHES[kind], make, {"config": asdict(config)}, large=_is_large(config))


def _machine(kind: str, name: str, **options) -> BenchRun:
    """A run of the bench `kind` on a whole accelerator."""
    config = find_config(name)
    assert isinstance(config, AcceleratorConfig)
    make = partial(accelerator_design, config)
    parameters = {"config": asdict(config)}
    return BenchRun(f"{kind}/{name}", f"machine.{kind}_bench", make, parameters, large=_is_large(config), **options)


_LEAN_MACHINE = "fineq_5x7_2s_unary"
"""Array around which the lean regression has a machine: its encoding's name cannot stand in Verilog as it is."""

_SMALLEST = ACCELERATORS["accelerator_5x7"]
"""The accelerator with the smallest array and buffers."""


def small_machines() -> dict[str, AcceleratorConfig]:
    """For every named array of the smallest size, MAC arrays among them, a machine around it, by the array's name."""
    size = (_SMALLEST.array.rows, _SMALLEST.array.columns)
    arrays: dict[str, ArrayConfig | MacConfig] = {**ARRAYS, **MACS}
    return {
        name: replace(_SMALLEST, array=array) for name, array in arrays.items() if (array.rows, array.columns) == size
    }


def _behind_shared_port(name: str) -> BenchRun:
    """A machine that gathers its bursts, behind memories that serve one burst at a time."""
    config = replace(ACCELERATORS[name], addresses_ahead=False)
    return BenchRun(
        f"driver/{name}_shared_port",
        "machine.shared_port_bench",
        partial(accelerator_design, config),
        {"config": asdict(config)},
        simulators=_VERILATOR,
    )


def _around(name: str, config: AcceleratorConfig) -> BenchRun:
    """Legal and illegal work on a machine around a named array, linted, without the long checks."""
    return BenchRun(
        f"driver/around_{name}",
        "machine.driver_bench",
        partial(accelerator_design, config, check=True),
        {"config": asdict(config)},
        simulators=_VERILATOR,
        quick=name == _LEAN_MACHINE,
        tests=r"check=(identification|sums|outputs|counters|refusals)/stall=0\.4",
    )


_ENCODED = tuple(name_part(encoding) for encoding in ENCODINGS if encoding != ArrayConfig.encoding)
"""Ends of the names of arrays with other encodings than the paper's."""

_VERILATOR = ("verilator",)
_TWO_SLICES = ArrayConfig(rows=4, columns=12)
"""Two weight vectors in a line of one block: the smallest packed core whose slices matter."""

_SMALL_LAYER = GoldenShape(channels=10, inner=50, tokens=12)


def all_runs() -> list[BenchRun]:
    """Every run of the regression, small ones first."""
    line = _component("line_decoder", "fineq_5x7", golden=GoldenShape(8, 400, 2), quick=True)
    runs = [
        BenchRun("decoder/all", "decode.decoder_bench", decoder_design, quick=True),
        line,
        _component("line_decoder", "fineq_64x64", golden=GoldenShape(8, 400, 2)),
        *_trees(),
    ]
    parts = (("fineq_5x7", True), ("fineq_5x7_column", True), ("fineq_16x16", False))
    for config, quick in (*parts, *((f"fineq_5x7_{name}", False) for name in _ENCODED)):
        runs += [
            _component("temporal_encoder", config, quick=quick),
            # By itself the element has no clock to gate; its latches are tested inside the cores.
            _component("processing_element", config, activation_storage="gated-flop", quick=quick),
            _component("accumulator", config, quick=quick),
            _component("accumulator", config, adder_tree="behavioural"),
            _component("processing_array", config, quick=quick),
            _component("control_unit", config, quick=config in ("fineq_5x7", "fineq_5x7_cluster")),
        ]
    runs += [
        _core("temporal", "fineq_5x7", quick=True),
        _core("temporal", "fineq_5x7_column", quick=True),
        _core("temporal", "fineq_5x7", adder_tree="behavioural"),
        _core("temporal", "fineq_8x24"),
        _core("temporal", "fineq_16x16", simulators=_VERILATOR),
        _core("temporal", "fineq_16x16_column", simulators=_VERILATOR),
        _core("temporal", "fineq_5x7_latch"),
        *(_core("temporal", f"fineq_5x7_{name}", 20, quick=name in ("bitplane", "cluster")) for name in _ENCODED),
        *(_core("packed", f"fineq_16x16_{name}", simulators=_VERILATOR) for name in _ENCODED),
        _core("packed", "fineq_5x7_cluster", simulators=_VERILATOR),
        _core("temporal", replace(ARRAYS["fineq_5x7"], encoding="bitplane")),
        _core("packed", "fineq_5x7", simulators=_VERILATOR, quick=True),
        _core("packed", "fineq_8x24"),
        _core("packed", _TWO_SLICES),
        _core("temporal", ArrayConfig(rows=1, columns=1, accumulator_bits=12)),
        _core("temporal", ArrayConfig(rows=3, columns=2, activation_bits=4, accumulator_bits=9)),
        _core("mac", MacConfig(rows=1, columns=1, accumulator_bits=20)),
        _core("packed", "fineq_16x16", simulators=_VERILATOR),
        _core("mac", "mac8x8_5x7", quick=True),
        _core("mac", "mac8x3_5x7", quick=True),
        _core("mac", "mac8x8_5x7_broadcast"),
        _core("mac", "mac8x3_5x7_broadcast", quick=True),
        _core("mac", "mac8x3_5x7_latch"),
        _core("mac", "mac8x8_5x7_broadcast_latch"),
        _core("mac", "mac8x8_16x16", simulators=_VERILATOR),
        _core("mac", "mac8x3_16x16_broadcast", simulators=_VERILATOR),
        _layer("temporal", "fineq_5x7", _SMALL_LAYER),
        _layer("packed", "fineq_5x7", _SMALL_LAYER, simulators=_VERILATOR, quick=True),
        _layer("packed", "fineq_5x7_column", _SMALL_LAYER, simulators=_VERILATOR),
        _layer("packed", "fineq_5x7_cluster", _SMALL_LAYER),
        _layer("packed", _TWO_SLICES, GoldenShape(10, 50, 7)),
        _layer("packed", "fineq_8x24", GoldenShape(17, 100, 19)),
        _layer("packed", "fineq_16x16", GoldenShape(24, 70, 20), simulators=_VERILATOR),
        _layer(
            "packed",
            "fineq_64x64",
            GoldenShape(24, 192, 40),
            adder_tree="behavioural",
            simulators=_VERILATOR,
            tests=r"stall=0\.0/early=True",
        ),
    ]
    runs += [
        _component("csr", "accelerator_5x7", quick=True),
        _component("csr", "mac8x8_accelerator_64x64"),
        _changed("csr", "accelerator_8x24", address_bits=64),
        _component("job_control", "accelerator_5x7", quick=True),
        _changed("job_control", "accelerator_8x24", address_bits=64),
        _component("descriptor_unit", "accelerator_5x7", quick=True),
        _component("descriptor_unit", "accelerator_64x64"),
        _component("descriptor_unit", "mac8x8_accelerator_5x7", simulators=_VERILATOR),
        _changed("descriptor_unit", "accelerator_5x7", address_bits=16),
        _changed("descriptor_unit", "accelerator_8x24", address_bits=64),
    ]
    for kind, quick in (("read_dma", True), ("write_dma", True), ("vector_unit", False)):
        runs += [_component(kind, "accelerator_8x24", quick=quick), _component(kind, "accelerator_16x16")]
    runs += [
        _component("read_dma", "accelerator_5x7"),
        _changed("read_dma", "accelerator_16x16", max_burst_beats=256, outstanding_reads=1),
        _changed("write_dma", "accelerator_8x24", max_burst_beats=1),
        _changed("write_dma", "accelerator_16x16", max_burst_beats=256),
        _changed("write_dma", "accelerator_8x24", addresses_ahead=False),
        _changed("write_dma", "accelerator_8x24", addresses_ahead=False, max_burst_beats=1),
        _changed("write_dma", "accelerator_16x16", addresses_ahead=False, max_burst_beats=256),
        _component("vector_unit", "mac8x8_accelerator_5x7"),
        *(_changed("vector_unit", "accelerator_8x24", vector_words=words) for words in (2, 4)),
        _changed("parameter_buffer", "accelerator_8x24", vector_words=2),
        _changed("parameter_buffer", "accelerator_16x16", vector_words=4),
        _changed("output_buffer", "accelerator_8x24", vector_words=4),
    ]
    for name in ("accelerator_5x7", "accelerator_8x24", "mac8x8_accelerator_5x7", "mac8x3_accelerator_16x16"):
        quick = name == "accelerator_8x24"
        runs += [
            _component("tile_walk", name, quick=quick),
            _component("gearbox", name, quick=quick),
            _component("weight_buffer", name, quick=quick),
            _component("input_buffer", name, quick=quick),
            _component("output_buffer", name, quick=quick),
            _component("parameter_buffer", name, quick=quick),
            _component("write_back", name),
        ]
    runs.append(_component("gearbox", "accelerator_64x64", quick=True))
    for name in ("accelerator_5x7", "accelerator_8x24", "mac8x8_accelerator_5x7"):
        # All driver checks on the larger machine keep Icarus busy for half an hour.
        simulators = _VERILATOR if name == "accelerator_8x24" else SIMULATORS
        runs += [
            _machine("accelerator", name),
            _machine("driver", name, simulators=simulators),
        ]
    runs.append(_machine("driver", "accelerator_5x7_cluster", simulators=_VERILATOR))
    runs += [_around(name, config) for name, config in small_machines().items() if config not in ACCELERATORS.values()]
    runs += [_behind_shared_port(name) for name in ("accelerator_5x7", "accelerator_8x24", "mac8x8_accelerator_5x7")]
    for name in ("accelerator_16x16", "mac8x3_accelerator_16x16"):
        runs.append(_machine("accelerator", name, simulators=_VERILATOR))
    return runs


def select(simulator: str, pattern: str | None = None, quick: bool = False) -> list[BenchRun]:
    """Runs for a simulator whose name matches a pattern (shell style, or a plain part of the name).

    Raises:
        FineqError: nothing matches.
    """
    runs = [run for run in all_runs() if simulator in run.simulators and (run.quick or not quick)]
    if pattern is not None:
        runs = [run for run in runs if fnmatch(run.name, pattern) or pattern in run.name]
        if not runs:
            raise FineqError(f"no testbench matches {pattern!r} on {simulator}: --list shows their names")
    return runs
