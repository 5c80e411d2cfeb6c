"""The synthesis flow of one size: netlists, gate-level runs on real data, glitches, power."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from fineq_asic.activity.core_driver import CoreWork
from fineq_asic.activity.netlist_run import CoreRun, RunOptions, Trace, run_core
from fineq_asic.activity.workload import DataSet, make_tiles, mean_vector_cycles
from fineq_asic.flows.results import DataCycles, GlitchShare, Result, SynthesisRun
from fineq_asic.flows.sizes import Order, netlists
from fineq_asic.mapping.blocks import attribute_blocks
from fineq_asic.mapping.closure import Mapped, Progress, Steps, Tools
from fineq_asic.mapping.designs import CoreDesign
from fineq_asic.netlist.flat import FlatNetlist, flatten
from fineq_asic.power.glitches import run_with_delays
from fineq_asic.power.liberty_power import Power, PowerEngine, PowerOptions, total_power
from fineq_asic.timing.opensta import Constraints
from fineq_hw.config import ArrayConfig
from fineq_hw.latencies import result_latency

RECORDED_CYCLES = 64
TRACED_CYCLES = 32
TRACED_LANES = 4
"""Cycles and runs that are played once more with delays; the same ones without delays are the reference."""

_LARGE_NETLIST = 400_000
"""Netlists with more nets are played with delays for a quarter of the cycles, and not with three values."""

_TERNARY_CYCLES = 8


def warm_up_cycles(design: CoreDesign) -> int:
    """Cycles of streaming after which a core is in its steady state."""
    latency = result_latency(design.config)
    return latency + 8 if isinstance(design.config, ArrayConfig) else 2 * latency


def record(
    design: CoreDesign,
    flat: FlatNetlist,
    data: DataSet,
    cycles: int = RECORDED_CYCLES,
    *,
    ternary: bool = False,
    rows: Sequence[int] | None = None,
    trace: bool = False,
) -> CoreRun:
    """Gate-level run of a design on quantized data; the options are those of `CoreWork` and `RunOptions`."""
    warm_up = warm_up_cycles(design)
    work = CoreWork(design.config, make_tiles(data, design.config, warm_up + cycles), design.packed, rows)
    return run_core(flat, work, RunOptions(warm_up, cycles, data.source, ternary=ternary, trace=trace))


def power_options(constraints: Constraints, independent_outputs: bool = False) -> PowerOptions:
    """Operating point of the power engine under the constraints of the timing analysis."""
    return PowerOptions(
        constraints.clock_ns,
        constraints.clock_port,
        constraints.input_slew_ns,
        constraints.output_load_ff,
        independent_outputs,
    )


def measure(mapped: Mapped, data: DataSet, tools: Tools, constraints: Constraints, progress: Progress) -> Result:
    """Everything a report says of one design.

    Args:
        mapped: its netlist.
        data: weights and activations for the gate-level run.
        tools: library and OpenSTA.
        constraints: clock and environment.
        progress: called with a line after each step.

    Raises:
        SynthesisError: the netlist is wrong, does not settle, or depends on what registers held before reset.
    """
    design = mapped.design
    steps = Steps(design.top, progress)
    library = tools.library
    flat = flatten(mapped.netlist, library, attribute_blocks(mapped.netlist, library, mapped.manifest))
    run = record(design, flat, data)
    steps.done(f"{run.results_checked} results bit-exact, {run.cycles_per_vector:.3f} cycles per weight vector")
    large = flat.nets > _LARGE_NETLIST
    known = 0 if large else record(design, flat, data, _TERNARY_CYCLES, ternary=True).results_checked
    engine = PowerEngine(flat, library, tools.wire_load, power_options(constraints))
    power = engine.evaluate(run.recorded)
    other = PowerEngine(flat, library, tools.wire_load, power_options(constraints, independent_outputs=True))
    independent = total_power(other.evaluate(run.recorded))
    trace = record(design, flat, data, TRACED_CYCLES // 4 if large else TRACED_CYCLES, trace=True).traced
    glitches = measure_glitches(flat, engine, trace, constraints)
    steps.done(f"{100 * glitches.extra_transitions:.0f} % more transitions with delays, {glitches.settle_ns:.2f} ns")
    cells = {kind: len(group) for kind, group in flat.groups.items()}
    result = Result(
        design=design,
        cells=sum(cells.values()),
        registers=sum(count for kind, count in cells.items() if library.cells[kind].register is not None),
        area={block: area for block, area in flat.block_area().items() if area},
        timing=mapped.timing,
        effort=mapped.effort,
        power={block: value for block, value in power.items() if value.total},
        power_independent=independent,
        glitches=glitches,
        cycles_per_vector=run.cycles_per_vector,
        checked=run.results_checked,
        known=known,
    )
    steps.done(f"{result.total_area:.0f} µm², {result.total_power.total * 1e3:.2f} mW")
    return result


def measure_glitches(
    flat: FlatNetlist, engine: PowerEngine, trace: Trace, constraints: Constraints, lanes: int = TRACED_LANES
) -> GlitchShare:
    """Power of the traced cycles with delays, as a multiple of the same without, by block."""
    run = run_with_delays(flat, engine, trace, constraints, range(lanes))
    settled, delayed = engine.evaluate(run.settled), engine.evaluate(run.delayed)

    def ratio(block: str, kind: str) -> float:
        before = getattr(settled[block], kind)
        return getattr(delayed[block], kind) / before if before else 1.0

    factors = {
        block: Power(ratio(block, "internal"), ratio(block, "switching"), ratio(block, "leakage"))
        for block in settled
        if settled[block].total
    }
    return GlitchShare(factors, run.extra_transitions, run.settle_ns, run.settled.cycles)


def synthesise_size(order: Order, work: Path, progress: Progress, sets: tuple[DataSet, ...] = ()) -> SynthesisRun:
    """All designs of a size on the same data.

    Args:
        order: which designs, on what.
        work: directory for intermediate files, one folder a design.
        progress: called with progress lines.
        sets: further data whose cycles per weight vector are reported (`workload.data_sets`).

    Raises:
        SynthesisError: unknown size or design, a missing tool, or a failing step.
    """
    data = order.data
    tools, mapped = netlists(order, work, progress)
    results = [measure(each, data, tools, order.constraints, progress) for each in mapped]
    columns = results[0].design.config.columns
    encodings = sorted({r.design.config.encoding for r in results if isinstance(r.design.config, ArrayConfig)})
    cycles = {
        each.source: DataCycles(
            each.model, each.recipe, {name: mean_vector_cycles(each, columns, name) for name in encodings}
        )
        for each in (data, *(other for other in sets if other.source != data.source))
    }
    versions = tools.versions() | {"python": platform.python_version()}
    return SynthesisRun(order.size, order.clock_ns, versions, data.source, order.command, results, cycles)
