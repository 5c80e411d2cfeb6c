"""Tables and plot of a synthesis run: Markdown for people, JSON for programs, PNG for slides.

Nothing here measures; all figures come from `Result` objects. The same results give the same bytes.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from fineq.common.files import replacing, write_text
from fineq.common.markdown import table
from fineq_asic.errors import SynthesisError
from fineq_asic.flows.bars import SIZE, bars
from fineq_asic.flows.results import (
    PAPER_AREA_MM2,
    PAPER_ELEMENTS,
    PAPER_POWER_MW,
    POWER_KINDS,
    GlitchShare,
    Result,
    SynthesisRun,
)
from fineq_asic.mapping.designs import BLOCKS
from fineq_reports.synthesis.picture import read_report, write_picture

__all__ = ["GlitchShare", "Result", "SynthesisRun", "as_json", "markdown", "redraw", "write_report"]

_table = partial(table, align="lr")


def markdown(run: SynthesisRun) -> str:
    """The report as Markdown."""
    parts = [
        f"# Synthesis, {run.size}\n",
        f"FreePDK45 (NanGate open cell library, typical corner, 1.1 V, 25 C), {1000 / run.clock_ns:g} MHz. Made by "
        f"`{run.command}`. docs/flows/synthesis.md says how each figure comes about and what it leaves out: no layout, "
        "an ideal clock.\n",
        f"Activity: {run.activity}. Every result of the gate-level runs equals the integer reference. Area, timing and "
        "power are those of the whole array; nothing is scaled up from a row.\n",
        _comparison(run),
    ]
    if run.baseline is not None:
        parts.append(_ratios(run, run.baseline))
    parts += _bars(run)
    missed = [f"- {r.design.title}: {r.timing.verdict()}" for r in run.results if not r.timing.met]
    if missed:
        parts.append("## Clock not met\n\n" + "\n".join(missed) + "\n")
    parts += _other_data(run)
    parts.append("## Area by block, µm²\n")
    parts.append(_block_table(run, lambda r: {block: f"{area:.0f}" for block, area in r.area.items()}))
    parts.append("## Power by block, mW, glitches counted\n")
    parts.append(_block_table(run, lambda r: {b: f"{p.total * 1e3:.3f}" for b, p in r.power_with_glitches.items()}))
    parts += [_power_kinds(run), _glitches(run), _checks(run), "## Worst paths\n"]
    parts += [f"- {r.design.title} (mapped for {r.effort}): {r.timing.verdict()}" for r in run.results]
    parts.append("\n## Tools\n")
    parts.append(_table(["tool", "version"], [[name, value] for name, value in run.tools.items()]))
    return "\n".join(parts)


def _comparison(run: SynthesisRun) -> str:
    header = ["design", "area µm²", "µm² / PE", "decoders", "slack ns", "max MHz", "power mW", "with glitches"]
    header += ["cycles / vector", "µm² x cycles / MAC", "pJ / MAC", "with glitches"]
    rows = [
        [
            f"{r.design.title} (`{r.design.top}`)",
            f"{r.total_area:.0f}",
            f"{r.area_per_element:.1f}",
            f"{100 * r.decoder_share:.2f} %" if r.decoder_share else "",
            f"{r.timing.worst_slack_ns:+.3f}",
            f"{r.timing.max_clock_mhz:.0f}",
            f"{r.total_power.total * 1e3:.2f}",
            f"{r.total_power_with_glitches.total * 1e3:.2f}",
            f"{r.cycles_per_vector:.3f}",
            f"{r.area_cycles:.1f}",
            f"{r.energy_per_mac * 1e12:.4f}",
            f"{r.energy_per_mac_with_glitches * 1e12:.4f}",
        ]
        for r in run.results
    ]
    return "\n".join(
        [
            "## Comparison\n",
            "The FineQ rows include decoders, slice multiplexer and control. `decoders`: their area as a share of the "
            "array's.\n",
            _table(header, rows + _paper_rows()),
            "The paper's cycles are implied by its 1.79x energy efficiency, not stated by it.\n",
        ]
    )


def _bars(run: SynthesisRun) -> list[str]:
    found = bars(run)
    if not found:
        return []
    verdicts = {True: "met", False: "**not met**", None: "not judged"}
    rows = [[bar.text, bar.limit, bar.found, bar.design, verdicts[bar.met]] for bar in found]
    note = "" if run.size == SIZE else f"They are meant for {SIZE}; a smaller array carries more overhead.\n"
    return ["## Bars\n", note, _table(["bar", "limit", "found", "by", "verdict"], rows)]


def _other_data(run: SynthesisRun) -> list[str]:
    arrays = run.arrays
    if not run.cycles or not arrays:
        return []
    encodings = sorted({r.encoding for r in arrays})
    cycles = [[data, *(f"{found.by_encoding[e]:.3f}" for e in encodings)] for data, found in run.cycles.items()]
    area = [[data, *(f"{r.area_per_element * run.cycles_of(r, data):.1f}" for r in run.results)] for data in run.cycles]
    return [
        "## Cycles per weight vector, by encoding\n",
        _table(["data", *encodings], cycles),
        "## µm² x cycles per MAC\n",
        _table(["data", *(r.design.title for r in run.results)], area),
    ]


def _power_kinds(run: SynthesisRun) -> str:
    rows = []
    for r in run.results:
        for what, power in (("", r.total_power), (", with glitches", r.total_power_with_glitches)):
            rows.append([r.design.title + what] + [f"{getattr(power, k) * 1e3:.3f}" for k in POWER_KINDS])
    return "## Power by kind, mW\n\n" + _table(["design", *POWER_KINDS], rows)


def _glitches(run: SynthesisRun) -> str:
    rows = [
        [
            r.design.title,
            f"{100 * r.glitches.extra_transitions:+.1f} %",
            f"{100 * (r.total_power_with_glitches.total / r.total_power.total - 1):+.1f} %",
            f"{r.glitches.settle_ns:.3f}",
            str(r.glitches.cycles),
        ]
        for r in run.results
    ]
    text = (
        "## Glitches\n\nThe same vectors with the delays of the library and without. Extra transitions are those that "
        "do not last.\n\n"
    )
    return text + _table(["design", "transitions", "power", "settled after ns", "cycles played"], rows)


def _checks(run: SynthesisRun) -> str:
    rows = [[r.design.title, str(r.checked), str(r.known) if r.known else "not run"] for r in run.results]
    text = (
        "## Checks of the netlists\n\nResults equal to the integer reference, and results that are known although all "
        "registers hold unknown values before reset (three-valued run).\n\n"
    )
    return text + _table(["design", "results checked", "results known"], rows)


def _block_table(run: SynthesisRun, values) -> str:
    columns = [values(result) for result in run.results]
    used = [block for block in BLOCKS if any(block in column for column in columns)]
    rows = [[block] + [column.get(block, "") for column in columns] for block in used]
    return _table(["block", *(result.design.title for result in run.results)], rows)


def _paper_rows() -> list[list[str]]:
    mac_area, mac_power = PAPER_AREA_MM2["systolic array"], PAPER_POWER_MW["systolic array"]
    area = PAPER_AREA_MM2["FineQ PE array"] + PAPER_AREA_MM2["FineQ decoder"]
    power = PAPER_POWER_MW["FineQ PE array"] + PAPER_POWER_MW["FineQ decoder"]
    cycles = mac_power / power / 1.79
    rows = []
    for title, mm2, mw, pace in (("MAC systolic array", mac_area, mac_power, 1.0), ("FineQ", area, power, cycles)):
        element = mm2 * 1e6 / PAPER_ELEMENTS
        energy = mw * 1e-3 * pace * 2.5e-9 / PAPER_ELEMENTS * 1e12
        share = PAPER_AREA_MM2["FineQ decoder"] / PAPER_AREA_MM2["FineQ PE array"] if title == "FineQ" else 0.0
        rows.append(
            [f"*paper, Table III, 64x64: {title}*", f"{mm2 * 1e6:.0f}", f"{element:.1f}"]
            + [f"{100 * share:.2f} %" if share else "", "", "400", f"{mw:.2f}", ""]
            + [f"{pace:.2f}", f"{element * pace:.1f}", f"{energy:.4f}", ""]
        )
    return rows


def _ratios(run: SynthesisRun, baseline: Result) -> str:
    lines = [f"## Against the smallest 3-bit MAC array ({baseline.design.title})\n"]
    rows = []
    for r in run.results:
        rows.append(
            [
                r.design.title,
                f"{(r.total_area / baseline.total_area - 1) * 100:+.1f} %",
                f"{(r.array_area / baseline.array_area - 1) * 100:+.1f} %",
                f"{(r.total_power.total / baseline.total_power.total - 1) * 100:+.1f} %",
                f"{(r.total_power_with_glitches.total / baseline.total_power_with_glitches.total - 1) * 100:+.1f} %",
                f"{(r.power_independent.total / baseline.power_independent.total - 1) * 100:+.1f} %",
                f"{baseline.area_cycles / r.area_cycles:.2f}x",
                f"{baseline.energy_per_mac / r.energy_per_mac:.2f}x",
                f"{baseline.energy_per_mac_with_glitches / r.energy_per_mac_with_glitches:.2f}x",
            ]
        )
    header = ["design", "area", "area, array alone", "power", "power, glitches counted", "power, OpenSTA's states"]
    header += ["throughput per area", "MACs per energy", "MACs per energy, glitches counted"]
    return "\n".join([*lines, _table(header, rows)])


def as_json(run: SynthesisRun) -> str:
    """The report as JSON."""
    document = {
        **run.head(),
        "cycles_per_vector": {
            data: {encoding: round(value, 4) for encoding, value in found.by_encoding.items()}
            for data, found in run.cycles.items()
        },
        "bars": [vars(bar) for bar in bars(run)],
        "tools": run.tools,
        "paper_table_iii": {"area_mm2": PAPER_AREA_MM2, "power_mw": PAPER_POWER_MW, "elements": PAPER_ELEMENTS},
        "designs": [result.as_dict() for result in run.results],
    }
    return json.dumps(document, indent=1) + "\n"


def write_report(run: SynthesisRun, directory: Path) -> list[Path]:
    """Write `synth-<size>.md`, `.json` and `.png` into a directory; all or nothing per file.

    Raises:
        SynthesisError: the directory cannot be written.
    """
    paths = [directory / f"synth-{run.size}.{suffix}" for suffix in ("md", "json", "png")]
    try:
        write_text(paths[0], markdown(run))
        write_text(paths[1], as_json(run))
        with replacing(paths[2]) as aside:
            write_picture(json.loads(as_json(run)), aside)
    except OSError as error:
        raise SynthesisError(f"cannot write the report to {directory}: {error.strerror}") from None
    return paths


def redraw(report: Path, directory: Path) -> Path:
    """Draw the picture of a JSON report again, `synth-<size>.png` in a directory.

    Raises:
        SynthesisError: the report cannot be read, or the directory not be written.
    """
    document = read_report(report)
    path = directory / f"synth-{document['size']}.png"
    try:
        with replacing(path) as aside:
            write_picture(document, aside)
    except OSError as error:
        raise SynthesisError(f"cannot write the picture to {directory}: {error.strerror}") from None
    return path
