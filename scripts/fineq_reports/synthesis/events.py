"""Report of the energies by event: Markdown for people, JSON for the simulator."""

from __future__ import annotations

import json
from pathlib import Path

from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq_asic.activity.event_runs import Event
from fineq_asic.flows.array_energy import ArrayEnergy, ArrayEnergyRun

_COLUMNS = {
    Event.STEP: "step",
    Event.STEP_STALE: "step, 1 token, others old",
    Event.STEP_ONE: "step, 1 token, others zero",
    Event.STEP_ZERO: "step, all zero",
    Event.PRELOAD: "preload beat",
    Event.IDLE: "idle",
    Event.STALLED: "stalled",
}


def as_json(run: ArrayEnergyRun) -> str:
    """The report for programs."""
    document = {
        **run.head(),
        "tools": run.tools,
        "designs": [_design(each) for each in run.results],
    }
    return json.dumps(document, indent=1) + "\n"


def _design(result: ArrayEnergy) -> dict[str, object]:
    config = result.design.config
    return {
        "top": result.design.top,
        "title": result.design.title,
        "rows": config.rows,
        "columns": config.columns,
        "leakage_w": float(f"{result.leakage_w:.6g}"),
        "events": {
            event.name.lower(): {
                "pj": round(energy.total, 5),
                "pj_without_glitches": round(energy.settled, 5),
                "cycles": energy.cycles,
                "pj_by_block": {block: round(value, 5) for block, value in energy.picojoules.items()},
            }
            for event, energy in result.events.items()
        },
    }


def markdown(run: ArrayEnergyRun) -> str:
    """The report for people."""
    rows = [
        [r.design.title, *(f"{r.events[event].total:.2f}" for event in _COLUMNS), f"{100 * r.one_row_off:+.1f} %"]
        for r in run.results
    ]
    shares = [
        [
            r.design.title,
            *(
                f"{100 * r.events[event].total / r.events[Event.STEP].total:.1f} %"
                for event in _COLUMNS
                if event != Event.STEP
            ),
        ]
        for r in run.results
    ]
    return "\n".join(
        [
            f"# Energy of an array by event, {run.size}\n",
            f"FreePDK45, typical corner, 1.1 V, 25 C, {1000 / run.clock_ns:g} MHz. Made by `{run.command}`; "
            "docs/flows/synthesis.md says how. Activity: "
            f"{run.activity}. Every result of the gate-level runs equals the integer reference.\n",
            "pJ of the whole core in one cycle, glitches counted, leakage left out. `one row`: how far a single row "
            "with a token lies from the line between none and all of them, as a share of a full step.\n",
            table(["design", *_COLUMNS.values(), "one row"], rows, align="lr"),
            "The same as a share of a full step.\n",
            table(["design", *(name for event, name in _COLUMNS.items() if event != Event.STEP)], shares, align="lr"),
            "* step: weight vectors follow each other without a pause, every row holds a token.\n"
            "* old: a tile of one token was loaded after a full one, so all rows but the first keep what they held, as "
            "the machine leaves them. zero: rows were loaded with zeros once, and their sums are zeros.\n"
            "* Full steps, preloads and other steps have vectors and tokens of three different places of the model: "
            "differences of a few percent between full and old rows are those of the data.\n"
            "* preload beat: one row of activations enters, each cycle another one, in place of another tile's.\n"
            "* idle: activations are loaded, nothing is on offer. stalled: results wait, vectors and sums are on "
            "offer. The clock runs in both; its tree above the clock gates is in no figure.\n",
            "## Tools\n",
            table(["tool", "version"], [[name, value] for name, value in run.tools.items()], align="lr"),
        ]
    )


def write_report(run: ArrayEnergyRun, directory: Path) -> list[Path]:
    """Write array-energy-<size>.md and .json."""
    directory.mkdir(parents=True, exist_ok=True)
    name = f"array-energy-{run.size}"
    return [
        write_text(directory / f"{name}.md", markdown(run)),
        write_text(directory / f"{name}.json", as_json(run)),
    ]
