"""A study as files: layers.csv, and result.json with a schema version."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

from fineq.common.cache_keys import DISTRIBUTION
from fineq_hw.interface.registers import COUNTERS
from fineq_sim.energy.dram import PUBLISHED
from fineq_sim.energy.model import COMPONENTS, Energy
from fineq_sim.study.outcome import STREAMS, LayerOutcome, PassOutcome, Study

SCHEMA_VERSION = 1
"""Of result.json: raised when a name or its meaning changes; a new name is no change."""


def layer_rows(study: Study) -> list[dict[str, Any]]:
    """A line for each layer of each pass, with every assumption about the steps; None: not known."""
    return [_row(study, outcome, layer) for outcome in study.outcomes for layer in outcome.layers]


def _row(study: Study, outcome: PassOutcome, layer: LayerOutcome) -> dict[str, Any]:
    seconds = layer.all_cycles * 1e-6 / outcome.clock_mhz if layer.cycles is not None else None
    energy = layer.energy
    total = None if energy is None else energy.total_range
    row: dict[str, Any] = {
        "pass": outcome.work.name,
        "phase": outcome.work.phase,
        "sequence": outcome.work.sequence,
        "steps": outcome.bound.name,
        "name": layer.name,
        "kind": layer.kind,
        **dict(zip("MNK", layer.shape, strict=True)),
        "count": layer.count,
        "jobs": layer.parts,
        "macs": layer.macs,
        "engine": layer.engine,
        "cycles": layer.cycles,
        "error_bound": layer.error,
    }
    row |= {f"counter_{each.name}": layer.counters.get(each.name) for each in COUNTERS}
    row |= {
        "steps_per_vector": layer.steps_per_vector,
        "array_busy": layer.share("multiply_busy"),
        "rows_used": layer.rows_used(study.architecture.config.array.rows) if layer.on_array else None,
        "bus_busy": layer.share("memory_access_busy"),
        "bound": layer.limit,
    }
    row |= {f"bytes_{stream}": layer.streams.get(stream) for stream in STREAMS}
    row |= {f"joule_{_plain(name)}": None if energy is None else energy.chip.get(name, 0.0) for name in COMPONENTS}
    names = next((each.dram for each in _energies(study)), {})
    row |= {f"joule_{_plain(name)}": None if energy is None else energy.dram.get(name) for name in names}
    row |= {
        "milliseconds": None if seconds is None else 1e3 * seconds,
        "tops": 2e-12 * layer.macs / seconds if seconds else None,
        "tops_per_watt_low": 2e-12 * layer.macs / total[1] if total and total[1] else None,
        "tops_per_watt_high": 2e-12 * layer.macs / total[0] if total and total[0] else None,
        "macs_per_byte": layer.macs / layer.count / layer.moved_bytes if layer.moved_bytes else None,
    }
    return row


def _energies(study: Study) -> list[Energy]:
    return [layer.energy for each in study.outcomes for layer in each.layers if layer.energy is not None]


def _plain(name: str) -> str:
    return "_".join(name.lower().replace(",", "").split())


def layers_csv(study: Study) -> str:
    """The lines as CSV; numbers of one run, energy, macs and milliseconds of all runs of the line."""
    rows = layer_rows(study)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else _number(value) for name, value in row.items()})
    return text.getvalue()


def _number(value: Any) -> Any:
    return f"{value:.8g}" if isinstance(value, float) else value


def result(study: Study, command: str) -> dict[str, Any]:
    """All of a study, for result.json."""
    architecture = study.architecture
    return {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "versions": {
            DISTRIBUTION: metadata.version(DISTRIBUTION),
            "numpy": np.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        "workload": {"name": study.workload.name, "source": study.workload.source},
        "architecture": {
            "name": architecture.name,
            "extrapolated": architecture.extrapolated,
            "config": asdict(architecture.config),
            "memory": asdict(architecture.memory),
            "attention": asdict(architecture.attention),
        },
        "steps": {
            "source": study.steps.said,
            "bounds": {each.name: list(each.shares) for each in study.steps.bounds},
        },
        "attention_mode": study.attention,
        "attention_unit_energy": study.unit_source,
        "output": study.output,
        "check": None if study.check is None else asdict(study.check) | {"sentence": study.check.sentence()},
        "energy": {
            "array": study.energy_source,
            "dram": [asdict(each) for each in PUBLISHED],
            "not_measured": list(study.not_measured),
        }
        if study.energy_source
        else None,
        "notes": list(study.notes),
        "passes": [_pass(each) for each in study.outcomes],
        "layers": layer_rows(study),
    }


def _pass(outcome: PassOutcome) -> dict[str, Any]:
    energy = outcome.energy
    return {
        "pass": outcome.work.name,
        "steps": outcome.bound.name,
        "title": "all layers" if outcome.timed else "linear layers only",
        "tokens": outcome.work.tokens,
        "cycles": outcome.cycles,
        "seconds": outcome.seconds,
        "error_bound": outcome.error,
        "steps_per_vector": outcome.steps_per_vector,
        "array_busy": outcome.busy,
        "macs": outcome.macs,
        "macs_on_array": outcome.array_share,
        "share": outcome.share_sentence(),
        "joule": None
        if energy is None
        else dict(energy.chip)
        | dict(energy.dram)
        | {"SRAM, least": energy.sram_range[0], "SRAM, most": energy.sram_range[1]},
    }


def result_text(study: Study, command: str) -> str:
    """result.json."""
    return json.dumps(result(study, command), indent=1) + "\n"
