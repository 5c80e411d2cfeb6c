"""The paper's evaluation with this project's machine: Table III, Fig. 8 and Fig. 9, from synthesis and simulation.

What the paper calls energy efficiency is multiply-accumulates per energy. It counts the array's power alone; here the
same ratio stands for the array alone, with SRAM, and with DRAM at the lowest and the highest published figure.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fineq_hw.config import ACCELERATORS, ARRAYS, MACS, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.energy.model import OF_ARRAY, Energy, not_measured
from fineq_sim.energy.synthesis import MissingSynthesis, SynthesisReports, read_reports, top_of
from fineq_sim.study.architecture import Architecture
from fineq_sim.study.outcome import PassOutcome, Study
from fineq_sim.study.run import energy_model, linear_only, run_study
from fineq_sim.study.steps import MEASURED, RECIPE, find_steps
from fineq_sim.workloads.find import find_workload
from fineq_sim.workloads.work import Workload

MODELS = ("open-llama-3b", "llama-2-7b", "llama-2-13b")
"""The paper has LLaMA-2 of 3B, 7B and 13B; there is none of 3B, an open one stands in its place."""

SEQUENCES = (32, 256, 1024, 2048)

PAPER_EFFICIENCY = 1.79
"""The paper's gain in energy efficiency, its Fig. 9, average."""

PAPER_SHARES = {"accumulators": 0.718, "processing elements": 0.259, "temporal encoders": 0.023}
"""The paper's Fig. 8: shares of the PE array's power."""

PAPER_ROWS = ("systolic array", "FineQ PE array", "FineQ decoder")
"""The paper's Table III as the synthesis reports repeat it."""

OURS = ("fineq_{size}", "fineq_{size}_cluster")
"""FineQ as the paper describes it, and this project's best."""

RIVALS = (
    "mac8x3_{size}_broadcast_latch",
    "mac8x8_{size}_broadcast_latch",
    "mac8x3_{size}_broadcast_digits_8_latch",
)
"""MAC arrays to compare with; the last one is built by hand with the tricks of ours: the rival to beat."""

BARS = ("array only", "with SRAM", "with DRAM, low", "with DRAM, high")

_FIGURE_8 = "fineq_{size}_packed"


@dataclass(frozen=True)
class Point:
    """One bar group of Fig. 9: FineQ beside a MAC array on one model and length.

    Attributes:
        ours, rival, model, sequence, steps: what is compared; assumption about the steps.
        gains: MACs per energy of ours over those of the rival, by `BARS`.
        seconds: of both.
        time_area: seconds times area of array and SRAM, ours over the rival's: equal area.
    """

    ours: str
    rival: str
    model: str
    sequence: int
    steps: str
    gains: tuple[float, ...]
    seconds: tuple[float, float]
    time_area: float


@dataclass(frozen=True)
class Evaluation:
    """All that the page shows.

    Attributes:
        size: of the arrays.
        reports: of synthesis.
        missing: sentences about what has not been synthesised.
        points: of Fig. 9.
        checks: what the engines found, a sentence each machine.
        source: of the steps, in words.
        paper_line: the sentence that explains the paper's figure.
        not_measured: what the energies leave out.
    """

    size: str
    reports: SynthesisReports
    missing: tuple[str, ...]
    points: tuple[Point, ...]
    checks: tuple[str, ...]
    source: str
    paper_line: str
    not_measured: tuple[str, ...]


def evaluate(
    results: Path,
    size: str = "64x64",
    models: Sequence[str] = MODELS,
    sequences: Sequence[int] = SEQUENCES,
    engine: str = "auto",
    budget: float = 0.5,
    say: Callable[[str], None] = lambda line: None,
) -> Evaluation:
    """Work the evaluation out.

    Args:
        results: directory of measurements.
        size: of all arrays.
        models, sequences: of Fig. 9.
        engine, budget: see `fineq_sim.study.engines.run_tasks`.
        say: told of what is done.

    Raises:
        MissingSynthesis: an array of ours has not been synthesised, or no MAC array has.
    """
    reports = read_reports(results)
    base = f"accelerator_{size}"
    if base not in ACCELERATORS:
        raise MissingSynthesis(f"there is no accelerator of {size}: choose a size that a named accelerator has")
    missing, rivals = [], []
    for name in (each.format(size=size) for each in RIVALS):
        if name in MACS and top_of(MACS[name]) in reports.designs:
            rivals.append(name)
        else:
            missing.append(
                f"{name} is missing: it has not been synthesised into {results.name}; `fineq synth --size {size} "
                f"--design {name}` makes it"
            )
    if not rivals:
        raise MissingSynthesis(f"{results} has no MAC array of {size}: make them with `make synth SYNTH_SIZE={size}`")
    ours = [each.format(size=size) for each in OURS]
    studies: dict[str, dict[str, Study]] = {}
    checks = []
    areas: dict[str, float] = {}
    arrays = []
    source = ""
    for name in [*ours, *rivals]:
        architecture = machine(name, ACCELERATORS[base])
        model, _ = energy_model(architecture, reports)
        arrays.append(model.array)
        areas[name] = model.array.area_um2 * 1e-6 + model.sram_area_mm2
        steps = find_steps(None, architecture.config, results, packed=False)
        source = source or steps.said
        studies[name] = {}
        for each in models:
            found = run_study(
                _linear(find_workload(each, sequences=sequences)),
                architecture,
                steps,
                results=results,
                attention="host",
                output=OutputFormat.FIXED,
                engine=engine,
                budget=budget,
            )
            studies[name][each] = found
            check = found.check.sentence() if found.check else f"engine {engine}"
            checks.append(f"{name}, {each}: {check}")
            say(checks[-1])
    points = [
        point
        for our in ours
        for rival in rivals
        for each in models
        for point in _points(our, rival, each, studies[our][each], studies[rival][each], areas[our] / areas[rival])
    ]
    line = paper_line(reports, results)
    left_out = not_measured(arrays)
    return Evaluation(size, reports, tuple(missing), tuple(points), tuple(checks), source, line, left_out)


def machine(array: str, base: AcceleratorConfig) -> Architecture:
    """A named accelerator around another array of the same size."""
    config: ArrayConfig | MacConfig = ARRAYS[array] if array in ARRAYS else MACS[array]
    return Architecture(array, replace(base, array=config))


def _linear(workload: Workload) -> Workload:
    """Linear layers alone, which is what the paper counts."""
    return replace(workload, passes=tuple(linear_only(each) for each in workload.passes))


def _points(ours: str, rival: str, model: str, our_study: Study, rival_study: Study, area_ratio: float) -> list[Point]:
    others = {each.work.sequence: each for each in rival_study.outcomes}
    found = []
    for outcome in our_study.outcomes:
        other = others[outcome.work.sequence]
        gains = tuple(theirs / mine for mine, theirs in zip(levels(outcome), levels(other), strict=True))
        assert outcome.work.sequence is not None
        found.append(
            Point(
                ours,
                rival,
                model,
                outcome.work.sequence,
                outcome.bound.name,
                gains,
                (outcome.seconds, other.seconds),
                outcome.seconds / other.seconds * area_ratio,
            )
        )
    return found


def levels(outcome: PassOutcome) -> tuple[float, ...]:
    """Energy with ever more of the system: `BARS`."""
    energy = outcome.energy or Energy()
    array = sum(energy.chip[each] for each in OF_ARRAY)
    return array, energy.on_chip, *energy.total_range


def paper_line(reports: SynthesisReports, results: Path) -> str:
    """What the paper's gain is made of, and what its powers give at measured steps."""
    document = next(each for each in reports.documents.values() if each.get("paper_table_iii"))
    power = document["paper_table_iii"]["power_mw"]
    ratio = power["systolic array"] / (power["FineQ PE array"] + power["FineQ decoder"])
    implied = 1.5
    paces = {
        name: paces["unary"]
        for document in reports.documents.values()
        for name, paces in document["cycles_per_vector"].items()
        if "unary" in paces and "Gaussian" in name and RECIPE in name
    }
    name, steps = min(paces.items(), key=lambda each: each[1])  # long rows are the kindest
    measured = sorted(_measured_means(results))
    return (
        f"({power['systolic array']} / ({power['FineQ PE array']} + {power['FineQ decoder']})) / {implied} steps = "
        f"{ratio / implied:.2f}: the paper's {PAPER_EFFICIENCY} is the ratio of the arrays' powers over {implied} "
        f"steps per vector, and nothing else. With {steps:.3f} measured steps ({name}) the same powers give "
        f"{ratio / steps:.2f}, "
        f"with {measured[0]:.2f} to {measured[-1]:.2f} ({len(measured)} real models, recipe {RECIPE}) "
        f"{ratio / measured[-1]:.2f} to {ratio / measured[0]:.2f}."
    )


def _measured_means(results: Path) -> list[float]:
    with (results / MEASURED).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["recipe"] == RECIPE and row["perplexity"]]
    return [float(row["cycles_unary"]) for row in rows]


def power_shares(reports: SynthesisReports, size: str, glitches: bool) -> dict[str, float]:
    """Power of the paper's kind of array by block, as shares: its Fig. 8."""
    design = _design(reports, _FIGURE_8.format(size=size))
    power = design["power_with_glitches_w" if glitches else "power_w"]
    total = power["total"]["total"]
    return {block: each["total"] / total for block, each in power.items() if block != "total"}


def _design(reports: SynthesisReports, top: str) -> dict[str, Any]:
    for document in reports.documents.values():
        for design in document["designs"]:
            if design["top"] == top:
                return design
    raise MissingSynthesis(f"{reports.directory} has no synthesis of {top}: make it with `make synth`")


def table_iii(reports: SynthesisReports, size: str) -> list[tuple[str, float, float, float | None, float | None]]:
    """Rows of Table III: name, mm², mW without and with glitches, steps per vector; the paper's first."""
    found = [each for each in reports.documents.values() if each["size"] == size]
    paper = next(each for each in reports.documents.values() if each.get("paper_table_iii"))["paper_table_iii"]
    rows: list[tuple[str, float, float, float | None, float | None]] = [
        (f"paper, 64x64: {name}", paper["area_mm2"][name], paper["power_mw"][name], None, None) for name in PAPER_ROWS
    ]
    for design in (design for document in found for design in document["designs"]):
        rows.append(
            (
                f"{design['title']} (`{design['top']}`)",
                design["area_total_um2"] * 1e-6,
                design["power_w"]["total"]["total"] * 1e3,
                design["power_with_glitches_w"]["total"]["total"] * 1e3,
                design["cycles_per_vector"],
            )
        )
        if "decoders" in design["area_um2"]:
            power = [design[kind]["decoders"]["total"] * 1e3 for kind in ("power_w", "power_with_glitches_w")]
            rows.append(("  of it decoders", design["area_um2"]["decoders"] * 1e-6, power[0], power[1], None))
    return rows
