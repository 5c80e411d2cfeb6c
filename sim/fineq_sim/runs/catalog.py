"""The regression: which bench runs on which module in which configuration."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch

from fineq.common.errors import FineqError
from fineq.format.temporal import ENCODINGS
from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig, name_part
from fineq_hw.interface.registers import COUNTERS
from fineq_sim.runs.bench_run import (
    VERILATOR_ALONE,
    BenchRun,
    GoldenShape,
    around_run,
    changed_run,
    component_run,
    core_run,
    layer_run,
    machine_run,
    part_run,
    shared_port_run,
    tree_runs,
)
from fineq_sim.runs.duts import decoder_design
from fineq_sim.runs.linked import linked_runs
from fineq_sim.runs.simulators import SIMULATORS

_POWERED_UP = ("fineq_5x7", "mac8x8_5x7", "accelerator_5x7", "mac8x8_accelerator_5x7")
"""Configurations that also run without initial values."""

_POWERED_UP_MACHINES: dict[str, str | None] = {"accelerator": None, "driver": r"/stall=0\.4"}
"""Benches of whole machines that do, and which of their tests: power comes up once, the driver's checks are long."""

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


_ENCODED = tuple(name_part(encoding) for encoding in ENCODINGS if encoding != ArrayConfig.encoding)
"""Ends of the names of arrays with other encodings than the paper's."""

_TWO_SLICES = ArrayConfig(rows=4, columns=12)
"""Two weight vectors in a line of one block: the smallest packed core whose slices matter."""

_SMALL_LAYER = GoldenShape(channels=10, inner=50, tokens=12)


def all_runs() -> list[BenchRun]:
    """Every run of the regression, small ones first."""
    runs = [*_parts_of_the_array(), *_cores(), *_blocks(), *_machines()]
    # Boards have initial values, so what is behind a serial line needs no other start.
    return [*runs, *(_powered_up(run) for run in runs if _powers_up(run)), *linked_runs()]


def _powered_up(run: BenchRun) -> BenchRun:
    return replace(run.powered_up(), tests=_POWERED_UP_MACHINES.get(run.name.partition("/")[0]))


def _powers_up(run: BenchRun) -> bool:
    """Every bench of a clocked block, on its smallest configurations, and whole machines of them."""
    kind, _, config = run.name.partition("/")
    if run.golden is not None:  # whole layers on cores that have a bench of their own, and a block without registers
        return False
    return config in _POWERED_UP and (kind in _POWERED_UP_MACHINES or not run.bench.startswith("machine."))


def _parts_of_the_array() -> list[BenchRun]:
    runs = [
        BenchRun("decoder/all", "decode.decoder_bench", decoder_design, quick=True),
        component_run("line_decoder", "fineq_5x7", golden=GoldenShape(8, 400, 2), quick=True),
        component_run("line_decoder", "fineq_64x64", golden=GoldenShape(8, 400, 2)),
        *tree_runs(),
    ]
    parts = (("fineq_5x7", True), ("fineq_5x7_column", True), ("fineq_16x16", False))
    for config, quick in (*parts, *((f"fineq_5x7_{name}", False) for name in _ENCODED)):
        runs += [
            component_run("temporal_encoder", config, quick=quick),
            # By itself the element has no clock to gate; its latches are tested inside the cores.
            component_run("processing_element", config, activation_storage="gated-flop", quick=quick),
            component_run("accumulator", config, quick=quick),
            component_run("accumulator", config, adder_tree="behavioural"),
            component_run("processing_array", config, quick=quick),
            component_run("control_unit", config, quick=config in ("fineq_5x7", "fineq_5x7_cluster")),
        ]
    return runs


def _cores() -> list[BenchRun]:
    return [
        core_run("temporal", "fineq_5x7", quick=True),
        core_run("temporal", "fineq_5x7_column", quick=True),
        core_run("temporal", "fineq_5x7", adder_tree="behavioural"),
        core_run("temporal", "fineq_8x24"),
        core_run("temporal", "fineq_16x16", simulators=VERILATOR_ALONE),
        core_run("temporal", "fineq_16x16_column", simulators=VERILATOR_ALONE),
        core_run("temporal", "fineq_5x7_latch"),
        *(core_run("temporal", f"fineq_5x7_{name}", 20, quick=name in ("bitplane", "cluster")) for name in _ENCODED),
        *(core_run("packed", f"fineq_16x16_{name}", simulators=VERILATOR_ALONE) for name in _ENCODED),
        core_run("packed", "fineq_5x7_cluster", simulators=VERILATOR_ALONE),
        core_run("temporal", replace(ARRAYS["fineq_5x7"], encoding="bitplane")),
        core_run("packed", "fineq_5x7", simulators=VERILATOR_ALONE, quick=True),
        core_run("packed", "fineq_8x24"),
        core_run("packed", _TWO_SLICES),
        core_run("temporal", ArrayConfig(rows=1, columns=1, accumulator_bits=12)),
        core_run("temporal", ArrayConfig(rows=3, columns=2, activation_bits=4, accumulator_bits=9)),
        core_run("mac", MacConfig(rows=1, columns=1, accumulator_bits=20)),
        core_run("packed", "fineq_16x16", simulators=VERILATOR_ALONE),
        core_run("mac", "mac8x8_5x7", quick=True),
        core_run("mac", "mac8x3_5x7", quick=True),
        core_run("mac", "mac8x8_5x7_broadcast"),
        core_run("mac", "mac8x3_5x7_broadcast", quick=True),
        core_run("mac", "mac8x3_5x7_latch"),
        core_run("mac", "mac8x8_5x7_broadcast_latch"),
        core_run("mac", "mac8x3_5x7_broadcast_digits_2_latch", quick=True),
        core_run("mac", "mac8x3_5x7_systolic_digits_1_latch"),
        core_run("mac", "mac8x4_5x7_broadcast_digits_4_latch"),
        core_run("mac", "mac8x8_5x7_broadcast_digits_4_latch"),
        core_run("mac", "mac8x3_16x16_broadcast_digits_8_latch", simulators=VERILATOR_ALONE),
        core_run("mac", "mac8x8_16x16", simulators=VERILATOR_ALONE),
        core_run("mac", "mac8x3_16x16_broadcast", simulators=VERILATOR_ALONE),
        layer_run("temporal", "fineq_5x7", _SMALL_LAYER),
        layer_run("packed", "fineq_5x7", _SMALL_LAYER, simulators=VERILATOR_ALONE, quick=True),
        layer_run("packed", "fineq_5x7_column", _SMALL_LAYER, simulators=VERILATOR_ALONE),
        layer_run("packed", "fineq_5x7_cluster", _SMALL_LAYER),
        layer_run("packed", _TWO_SLICES, GoldenShape(10, 50, 7)),
        layer_run("packed", "fineq_8x24", GoldenShape(17, 100, 19)),
        layer_run("packed", "fineq_16x16", GoldenShape(24, 70, 20), simulators=VERILATOR_ALONE),
        layer_run(
            "packed",
            "fineq_64x64",
            GoldenShape(24, 192, 40),
            adder_tree="behavioural",
            simulators=VERILATOR_ALONE,
            tests=r"stall=0\.0/early=True",
        ),
    ]


def _blocks() -> list[BenchRun]:
    """Blocks of the accelerator around its core."""
    runs = [
        component_run("csr", "accelerator_5x7", quick=True),
        component_run("csr", "mac8x8_accelerator_64x64"),
        changed_run("csr", "accelerator_8x24", address_bits=64),
        component_run("job_control", "accelerator_5x7", quick=True),
        component_run("watchdog", "accelerator_5x7", quick=True),
        changed_run("job_control", "accelerator_8x24", address_bits=64),
        component_run("descriptor_unit", "accelerator_5x7", quick=True),
        component_run("descriptor_unit", "accelerator_64x64"),
        component_run("descriptor_unit", "mac8x8_accelerator_5x7", simulators=VERILATOR_ALONE),
        changed_run("descriptor_unit", "accelerator_5x7", address_bits=16),
        changed_run("descriptor_unit", "accelerator_8x24", address_bits=64),
    ]
    for kind, quick in (("read_dma", True), ("write_dma", True), ("vector_unit", False)):
        runs += [component_run(kind, "accelerator_8x24", quick=quick), component_run(kind, "accelerator_16x16")]
    runs += [
        *(component_run(kind, "accelerator_5x7") for kind in ("read_dma", "write_dma", "vector_unit")),
        changed_run("read_dma", "accelerator_16x16", max_burst_beats=256, outstanding_reads=1),
        changed_run("read_dma", "accelerator_5x7", protection=0b101, cacheability=0b1110),
        changed_run("write_dma", "accelerator_5x7", protection=0b101, cacheability=0b1110),
        changed_run("write_dma", "accelerator_8x24", max_burst_beats=1),
        changed_run("write_dma", "accelerator_16x16", max_burst_beats=256),
        changed_run("write_dma", "accelerator_8x24", addresses_ahead=True),
        changed_run("write_dma", "accelerator_8x24", addresses_ahead=True, max_burst_beats=1),
        changed_run("write_dma", "accelerator_16x16", addresses_ahead=True, max_burst_beats=256),
        component_run("vector_unit", "mac8x8_accelerator_5x7"),
        *(changed_run("vector_unit", "accelerator_8x24", vector_words=words) for words in (2, 4)),
        changed_run("parameter_buffer", "accelerator_8x24", vector_words=2),
        changed_run("parameter_buffer", "accelerator_16x16", vector_words=4),
        changed_run("output_buffer", "accelerator_8x24", vector_words=4),
    ]
    for name in ("accelerator_5x7", "accelerator_8x24", "mac8x8_accelerator_5x7", "mac8x3_accelerator_16x16"):
        quick = name == "accelerator_8x24"
        runs += [
            component_run("tile_walk", name, quick=quick),
            component_run("gearbox", name, quick=quick),
            component_run("weight_buffer", name, quick=quick),
            component_run("input_buffer", name, quick=quick),
            component_run("output_buffer", name, quick=quick),
            component_run("parameter_buffer", name, quick=quick),
            component_run("write_back", name),
        ]
    runs.append(component_run("gearbox", "accelerator_64x64", quick=True))
    return [*runs, *_parts_of_blocks()]


def _parts_of_blocks() -> list[BenchRun]:
    """What is tried by itself since the block around it would hide much of it: queues, counters, bursts."""
    runs = []
    for name in ("accelerator_5x7", "mac8x8_accelerator_5x7"):
        for kind in ("read_dma.tickets", "write_dma.lengths", "write_dma.unanswered", "write_dma.queue"):
            runs.append(part_run(kind, name, "lib.queue_bench"))
        runs.append(part_run("write_dma.splitter", name, "dma.burst_splitter_bench"))
    by_width = {counter.event_bits(_SMALLEST): counter.name for counter in reversed(COUNTERS)}
    for counter in by_width.values():
        runs.append(part_run(f"csr.count_{counter}", "accelerator_5x7", "control.event_counter_bench"))
    return runs


def _machines() -> list[BenchRun]:
    runs = []
    for name in ("accelerator_5x7", "accelerator_8x24", "mac8x8_accelerator_5x7"):
        # All driver checks on the larger machine keep Icarus busy for half an hour.
        simulators = VERILATOR_ALONE if name == "accelerator_8x24" else SIMULATORS
        runs += [
            machine_run("accelerator", name),
            machine_run("driver", name, simulators=simulators),
        ]
    for name in ("accelerator_5x7", "mac8x8_accelerator_5x7"):
        runs += [machine_run("silent_memory", name), machine_run("stop_and_stall", name)]
        runs.append(machine_run("situations", name, simulators=VERILATOR_ALONE))
    for kind in ("accelerator", "driver", "silent_memory"):
        runs.append(machine_run(kind, "accelerator_5x7_cluster", simulators=VERILATOR_ALONE))
    runs += [
        machine_run(kind, name)
        for kind in ("chain_pointer", "operand_pointer")
        for name in ("accelerator_5x7", "accelerator_5x7_cluster", "mac8x8_accelerator_5x7")
    ]
    runs += [
        around_run(name, config, quick=name == _LEAN_MACHINE)
        for name, config in small_machines().items()
        if config not in ACCELERATORS.values()
    ]
    runs += [shared_port_run(name) for name in ACCELERATORS]
    for name in ("accelerator_16x16", "mac8x3_accelerator_16x16"):
        runs.append(machine_run("accelerator", name, simulators=VERILATOR_ALONE))
    return runs


def select(simulator: str, pattern: str | None = None, quick: bool = False) -> list[BenchRun]:
    """Runs for a simulator: the one of that name, or all whose name matches (shell style, or a plain part of it).

    Raises:
        FineqError: nothing matches.
    """
    runs = [run for run in all_runs() if simulator in run.simulators and (run.quick or not quick)]
    if pattern is not None:
        exact = [run for run in runs if run.name == pattern]
        runs = exact or [run for run in runs if fnmatch(run.name, pattern) or pattern in run.name]
        if not runs:
            raise FineqError(f"no testbench matches {pattern!r} on {simulator}: --list shows their names")
    return runs
