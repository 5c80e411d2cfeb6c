"""Runs a study: every layer of every pass on the machine, with every assumption about the steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fineq_hw.config import AcceleratorConfig, MacConfig
from fineq_hw.interface.descriptors import line_groups
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver.functional.counters import read_counters
from fineq_sim.driver.split import parts_of
from fineq_sim.energy.events import EMPTY_ROWS
from fineq_sim.energy.model import EnergyModel, not_measured
from fineq_sim.energy.synthesis import MissingSynthesis, SynthesisReports, read_reports
from fineq_sim.reference.tile_walk import counted_tiles
from fineq_sim.study.architecture import Architecture
from fineq_sim.study.attention import (
    ENGINE,
    HOST,
    KV_FINEQ,
    ON_ARRAY,
    VALUE_BLOCK,
    CachedProduct,
    cache_bytes_written,
    cached_products,
    check_mode,
)
from fineq_sim.study.engines import BUDGET, Task, Timing, run_tasks
from fineq_sim.study.outcome import ATTENTION, HEAD, LINEAR, STREAMS, LayerOutcome, PassOutcome, Study
from fineq_sim.study.steps import ONE_STEP, Bound, StepSource
from fineq_sim.workloads.work import Attention, Head, Linear, Pass, Workload

UNIT_DESIGN = "mac8x8_{rows}x{columns}_broadcast_latch"
"""MAC array whose energy a multiply-accumulate of the attention unit takes where nothing else is said."""


def run_study(
    workload: Workload,
    architecture: Architecture,
    steps: StepSource,
    *,
    results: Path | None = None,
    model: EnergyModel | None = None,
    attention: str = ENGINE,
    output: OutputFormat = OutputFormat.FIXED,
    engine: str = "auto",
    budget: float = BUDGET,
    progress: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> Study:
    """Run a study.

    Args:
        workload: what the machine is to do.
        architecture: the machine.
        steps: of the weight vectors.
        results: measurements that energy is taken from; None: no energy, unless there is a model.
        model: of the energy; None: that of the results.
        attention: one of `fineq_sim.study.attention.ATTENTION_MODES`.
        output: what the layers write.
        engine, budget, progress: see `fineq_sim.study.engines.run_tasks`.

    Raises:
        WorkloadError, MissingSynthesis, EngineError, TwinError: something is unknown, missing, or beyond the machine.
    """
    check_mode(attention, architecture.config)
    began = time.monotonic()
    unit_source = "as the caller's model says"
    if model is None:
        model, unit_source = _energy(architecture, results)
    bounds = steps.bounds
    if all(linear.codes is not None for each in workload.passes for linear in each.linears):
        bounds = bounds[:1]
    cached = {work: _cached(work, architecture.config, attention) for work in workload.passes}
    tasks: list[Task] = []
    for work in workload.passes:
        for bound in bounds:
            tasks += [_task(architecture, steps, linear, bound, output) for linear in work.linears]
            tasks += [_cached_task(architecture, steps, product, bound) for product in cached[work]]
    timings, check = run_tasks(architecture, tasks, engine, budget, progress)
    remaining = iter(zip(tasks, timings, strict=True))
    outcomes = []
    for work in workload.passes:
        for bound in bounds:
            layers = [_on_array(architecture, model, linear, LINEAR, *next(remaining)) for linear in work.linears]
            layers += [_on_array(architecture, model, each, ATTENTION, *next(remaining)) for each in cached[work]]
            layers += [_beside_array(architecture, model, each, attention) for each in work.attentions]
            layers += [_head(architecture, model, each, attention) for each in work.heads]
            outcomes.append(PassOutcome(work, bound, tuple(layers), architecture.clock_mhz))
    return Study(
        workload,
        architecture,
        steps,
        attention,
        output.name.lower(),
        tuple(outcomes),
        check,
        None if model is None else f"{model.array.title} ({model.array.top} in {model.array.source}), glitches counted",
        unit_source,
        tuple(_notes(workload, architecture, attention, outcomes, model)),
        time.monotonic() - began,
        () if model is None else not_measured([model.array]),
    )


def energy_model(architecture: Architecture, reports: SynthesisReports) -> tuple[EnergyModel, str]:
    """The energies of a machine, and what the attention unit's is taken from.

    Raises:
        MissingSynthesis: the array has not been synthesised.
    """
    config, choice, unit = architecture.config, architecture.energy, architecture.attention
    array = reports.find(config.array, choice.design)
    picojoules, source = unit.pj_per_mac, "as the architecture says"
    if picojoules is None:
        top = UNIT_DESIGN.format(rows=config.array.rows, columns=config.array.columns)
        if top in reports.designs:
            picojoules, source = reports.designs[top].mac_pj, f"{top} in {reports.designs[top].source}"
        else:
            source = f"not measured: there is no synthesis of {top}"
    said = f"{source}" if picojoules is None else f"{picojoules:.3g} pJ/MAC, {source}"
    model = EnergyModel(
        config, array, architecture.clock_mhz, picojoules, choice.dram_pj_per_bit, empty_rows=choice.empty_rows
    )
    return model, said


def _energy(architecture: Architecture, results: Path | None) -> tuple[EnergyModel | None, str]:
    if results is None:
        return None, "no energy asked for"
    try:
        return energy_model(architecture, read_reports(results))
    except MissingSynthesis as error:
        raise MissingSynthesis(str(error)) from error


def _task(architecture: Architecture, steps: StepSource, linear: Linear, bound: Bound, output: OutputFormat) -> Task:
    own = linear.codes is not None and not isinstance(architecture.config.array, MacConfig)
    return Task(
        linear.name,
        linear.tokens,
        linear.channels,
        linear.inner,
        output,
        lambda: steps.table(architecture.config, linear, bound),
        linear.name if own else bound.shares,
    )


def _cached(work: Pass, config: AcceleratorConfig, mode: str) -> list[CachedProduct]:
    """Jobs of attention on the array."""
    if mode not in ON_ARRAY:
        return []
    return [product for each in work.attentions for product in cached_products(each, config, mode)]


def _cached_task(architecture: Architecture, steps: StepSource, product: CachedProduct, bound: Bound) -> Task:
    taken = ONE_STEP if product.one_step else bound
    linear = Linear(product.name, product.tokens, product.channels, product.inner)
    return Task(
        product.name,
        product.tokens,
        product.channels,
        product.inner,
        product.output,
        lambda: steps.table(architecture.config, linear, taken),
        taken.shares,
    )


def _on_array(
    architecture: Architecture,
    model: EnergyModel | None,
    product: Linear | CachedProduct,
    kind: str,
    task: Task,
    timing: Timing,
) -> LayerOutcome:
    energy = None
    if model is not None:
        energy = model.layer(task.shape, timing.cycles, timing.counters, timing.inner_parts).times(product.count)
    streams = _streams(architecture.config, task, timing)
    if kind == ATTENTION:  # what the array takes for weights is the cache
        streams |= {"cache": streams["weights"], "weights": 0}
    return LayerOutcome(
        product.name,
        kind,
        task.shape,
        product.count,
        product.macs,
        timing.engine,
        timing.cycles,
        timing.error,
        timing.counters,
        streams,
        energy,
        timing.parts,
    )


def _streams(config: AcceleratorConfig, task: Task, timing: Timing) -> dict[str, float]:
    """Bytes over the bus by what they are."""
    counters = timing.counters
    weights = 0
    for part in parts_of(task.channels, task.inner, config):
        groups = line_groups(part.width, config)
        for tile, times in counted_tiles(config, task.tokens, part.height):
            weights += read_counters(config, config.weight_chunk_bytes(tile.channels), times * groups)["bytes_read"]
    activations = read_counters(config, config.activation_tile_bytes, counters["preload_busy"])["bytes_read"]
    return {
        "weights": weights,
        "activations": activations,
        "parameters": counters["bytes_read"] - weights - activations,
        "results": counters["bytes_written"],
        "cache": 0,
    }


def _beside_array(
    architecture: Architecture, model: EnergyModel | None, attention: Attention, mode: str
) -> LayerOutcome:
    """Attention on the unit or the host; of attention on the array what is written into the cache."""
    unit, queries = architecture.attention, attention.batch * attention.queries
    shape = (queries, int(attention.contexts()[-1]), attention.head_size)
    if mode in ON_ARRAY:
        name, macs = f"{attention.name}, cache written", 0
        streams = dict.fromkeys(STREAMS, 0.0) | {"cache": float(cache_bytes_written(attention, mode))}
    else:
        name, macs = attention.name, attention.macs
        read, written = attention.cache_elements(architecture.config.array.rows)
        moved = unit.cache_bytes * queries * attention.heads * attention.head_size * attention.blocks
        streams = dict.fromkeys(STREAMS, 0.0) | {
            "activations": moved,
            "results": moved,
            "cache": unit.cache_bytes * (read + written),
        }
    return _on_unit(architecture, model, name, ATTENTION, shape, 1, macs, streams, mode)


def _head(architecture: Architecture, model: EnergyModel | None, head: Head, mode: str) -> LayerOutcome:
    unit = architecture.attention
    streams = {
        "weights": unit.head_bytes * head.channels * head.inner,
        "activations": float(head.tokens * head.inner),
        "parameters": 0.0,
        "results": 4.0 * head.tokens * head.channels,
        "cache": 0.0,
    }
    shape = (head.tokens, head.channels, head.inner)
    return _on_unit(architecture, model, head.name, HEAD, shape, head.count, head.macs, streams, mode)


def _on_unit(
    architecture: Architecture,
    model: EnergyModel | None,
    name: str,
    kind: str,
    shape: tuple[int, int, int],
    count: int,
    macs: int,
    streams: dict[str, float],
    mode: str,
) -> LayerOutcome:
    """Work beside the array: as fast as the unit or the bus, whichever takes longer."""
    if mode == HOST:
        return LayerOutcome(name, kind, shape, count, macs, "host", None, None, {}, {}, None)
    array, unit = architecture.config.array, architecture.attention
    rate = unit.macs_per_cycle or array.rows * array.columns
    moved = sum(streams.values())
    cycles = max(macs / count / rate, moved / architecture.port_bytes)
    energy = None if model is None else model.other(macs // count, cycles, moved).times(count)
    return LayerOutcome(name, kind, shape, count, macs, "unit", cycles, None, {}, streams, energy)


def _notes(
    workload: Workload,
    architecture: Architecture,
    attention: str,
    outcomes: list[PassOutcome],
    model: EnergyModel | None,
) -> list[str]:
    notes = []
    if architecture.extrapolated:
        notes.append(
            "The machine is extrapolated: the RTL cannot be built so, and nothing here was checked against it."
        )
    left = sorted({each for work in workload.passes for each in work.host})
    if left:
        notes.append(f"On the host and not counted: {'; '.join(left)}.")
    if attention == HOST:
        notes.append("Attention and output head are on the host: time and energy are those of the linear layers only.")
    elif attention in ON_ARRAY:
        notes.append(_cached_note(attention))
    elif any(layer.kind != LINEAR for each in outcomes for layer in each.layers):
        notes.append(
            "Attention and output head run on a unit beside the array, by closed form and not by the RTL, over the "
            "same bus and never at the same time as the array."
        )
    cut = sorted({layer.name for each in outcomes for layer in each.layers if layer.parts > 1})
    if cut:
        notes.append(
            f"Cut into several jobs, as the driver does, because they are beyond one descriptor: {', '.join(cut)}."
        )
    if model is not None:
        notes.append(f"Not measured, so not in the energy: {'; '.join(not_measured([model.array]))}.")
        if (events := model.array.events) is not None:
            notes.append(
                f"Loading, waiting and rows without a token: shares of a full step, measured on {events.source}. Rows "
                f"without a token hold {_HELD[model.empty_rows]}."
            )
        if not all(each.energy.unit_known for each in outcomes if each.energy):
            notes.append(
                "The attention unit's energy is not measured for this size, so it is not in the energy either."
            )
    return notes


_HELD = dict(zip(EMPTY_ROWS, ("what they held before, as the machine leaves them", "zeros"), strict=True))


def _cached_note(mode: str) -> str:
    rest = (
        "The host's softmax, quantization and sums are not counted; the output head runs on a unit beside the array. "
        "The array works through every key of a tile of queries, MACs are those of use."
    )
    if mode == KV_FINEQ:
        return (
            f"Keys and values are cached as FineQ codes, values with a scale for each {VALUE_BLOCK} keys: accuracy not "
            "shown. Their vectors are taken to need as many steps as unknown weights do; a block of values that is not "
            f"full is quantized again with each token. {rest}"
        )
    return f"Keys and values are 8-bit integers within +-121 as digit planes, exact. {rest}"


def linear_only(work: Pass) -> Pass:
    """A pass without attention and heads, as the paper's evaluation has it."""
    return Pass(work.phase, work.sequence, work.linears, (), (), work.host, work.tokens)
