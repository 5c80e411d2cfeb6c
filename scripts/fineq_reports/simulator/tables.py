"""The tables of a study, as text cells: for the terminal, the summary and the page alike."""

from __future__ import annotations

from fineq_reports.demo.page import Table
from fineq_sim.energy.dram import PUBLISHED
from fineq_sim.energy.model import COMPONENTS
from fineq_sim.study.outcome import LayerOutcome, PassOutcome, Study


def pass_table(study: Study) -> Table:
    """A line for each pass and each assumption about the steps."""
    headers = [
        "pass",
        "steps per vector",
        "time, s",
        "tokens/s",
        "cycles",
        "off by at most",
        "array busy",
        "MACs on the array",
        "TOPS",
        "energy on chip, J",
        "with DRAM, J",
        "TOPS/W with DRAM",
    ]
    return Table(headers, [_pass_row(each) for each in study.outcomes], sums_title(study))


def sums_title(study: Study) -> str:
    """What the sums are sums of."""
    mark = " Extrapolated: no RTL." if study.architecture.extrapolated else ""
    if all(each.timed for each in study.outcomes):
        others = any(not layer.on_array for each in study.outcomes for layer in each.layers)
        return (
            "Sums over the array, the attention unit and the output head." if others else "Sums over the array."
        ) + mark
    return "Linear layers only: attention and output head are on the host and not counted." + mark


def _pass_row(outcome: PassOutcome) -> list[str]:
    seconds, energy, tokens = outcome.seconds, outcome.energy, outcome.work.tokens
    macs = sum(each.macs for each in outcome.layers if each.cycles is not None)
    watts = "" if energy is None else " to ".join(f"{2e-12 * macs / each:.3g}" for each in reversed(energy.total_range))
    return [
        outcome.work.name,
        f"{outcome.steps_per_vector:.3f}" + ("" if outcome.bound.name == "given" else f" ({outcome.bound.name})"),
        f"{seconds:.4g}",
        f"{tokens / seconds:.4g}" if tokens else "",
        f"{outcome.cycles:,.0f}",
        error_text(outcome.error),
        f"{outcome.busy:.1%}",
        f"{outcome.array_share:.2%} of {outcome.macs:.4g}",
        f"{2e-12 * macs / seconds:.3g}",
        "" if energy is None else f"{energy.on_chip:.4g}",
        "" if energy is None else " to ".join(f"{each:.4g}" for each in energy.total_range),
        watts,
    ]


def error_text(error: float | None) -> str:
    """An error bound: of the array's layers against the twin."""
    return "not checked" if error is None else "exact" if error == 0 else "< 0.01%" if error < 1e-4 else f"{error:.2%}"


def layer_table(study: Study, outcome: PassOutcome) -> Table:
    """The layers of a pass."""
    headers = [
        "layer",
        "M x N x K",
        "runs",
        "engine",
        "cycles per run",
        "array busy",
        "rows in use",
        "bus reads",
        "bound by",
        "MB per run",
        "time",
        "MACs per byte",
        "energy, J",
    ]
    total, rows = outcome.cycles or 1.0, study.architecture.config.array.rows
    return Table(headers, [_layer_row(each, total, rows) for each in outcome.layers], outcome.share_sentence())


def _layer_row(layer: LayerOutcome, total: float, rows: int) -> list[str]:
    def share(counter: str) -> str:
        found = layer.share(counter)
        return "" if found is None else f"{found:.1%}"

    return [
        layer.name,
        " x ".join(map(str, layer.shape)),
        str(layer.count),
        layer.engine,
        "" if layer.cycles is None else f"{layer.cycles:,.0f}",
        share("multiply_busy"),
        "" if not layer.on_array else f"{layer.rows_used(rows):.0%}",
        share("memory_access_busy"),
        layer.limit,
        f"{layer.moved_bytes / 1e6:.4g}" if layer.streams else "",
        "" if layer.cycles is None else f"{layer.all_cycles / total:.1%}",
        f"{layer.macs / layer.count / layer.moved_bytes:.3g}" if layer.moved_bytes else "",
        "" if layer.energy is None else " to ".join(f"{each:.3g}" for each in layer.energy.total_range),
    ]


def energy_table(study: Study) -> Table:
    """Energy by component."""
    names = [name for name in next(each.energy.dram for each in study.outcomes if each.energy)]
    headers = ["pass", "steps", *COMPONENTS, *names, "SRAM by kind of cells"]
    rows = []
    for outcome in study.outcomes:
        energy = outcome.energy
        if energy is None:
            continue
        parts = [energy.chip[name] for name in COMPONENTS] + [energy.dram[name] for name in names]
        low, high = energy.sram_range
        rows.append(
            [outcome.work.name, outcome.bound.name, *(f"{each:.4g}" for each in parts), f"{low:.3g} to {high:.3g}"]
        )
    own = study.architecture.energy.dram_pj_per_bit
    figures = "; ".join(f"{each.name} {each.picojoules_per_bit} pJ/bit, {each.source}" for each in PUBLISHED)
    source = "as the architecture says" if own else figures
    return Table(
        headers,
        rows,
        f"J. Array: {study.energy_source}. SRAM: CACTI, low operating power, "
        "words in slices; and the range of three kinds of cells, in slices or not. "
        f"DRAM: {source}. Attention unit: {study.unit_source}.",
    )


def facts(study: Study, command: str) -> list[str]:
    """Sentences above the tables."""
    memory = study.architecture.memory
    kind = f"{memory.dram.name} behind {memory.latency} cycles" if memory.dram else (
        f"latency {memory.latency}, {memory.words_per_cycle:g} words per cycle"
    )  # fmt: skip
    found = [
        f"Made by `{command}`.",
        f"Workload {study.workload.name}: {study.workload.source}. Machine {study.architecture.title}: "
        f"{study.architecture.config.array.rows}x{study.architecture.config.array.columns} "
        f"{study.architecture.config.array.weight_code}, bus {study.architecture.config.bus_bits} bits, "
        f"{memory.clock_mhz:g} MHz, memory: {kind}. Layers write {study.output}.",
        f"Steps: {study.steps.said}.",
    ]
    if study.check is not None:
        found.append(f"Engine tile, {study.check.sentence()}.")
    return found + list(study.notes)
