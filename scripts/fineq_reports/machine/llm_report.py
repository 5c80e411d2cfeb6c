"""The report of a run as Markdown and JSON; the same run gives the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

from fineq.common.files import write_text
from fineq.common.markdown import table
from fineq_hw.interface.registers import STAGES
from fineq_sim.llm.executors import PHASES, Share
from fineq_sim.llm.run import Outcome

NAME = "sim-llm"

_NO_TIME = "-"
"""What stands for a figure that a machine without time cannot give."""


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else _NO_TIME


def _row(title: str, share: Share, phase: Share) -> list[str]:
    """A line of the table of one phase."""
    counters, of_phase = share.counters, phase.counters
    assert counters is not None and of_phase is not None  # layers ran
    steps, saved = counters["multiply_busy"], counters["terminated_cycles"]
    cycles = counters.cycles
    return [
        title,
        f"{cycles:,}" if cycles else _NO_TIME,
        _share(cycles, of_phase.cycles or 0) if cycles else _NO_TIME,
        _share(steps, cycles) if cycles else _NO_TIME,
        f"{counters['weight_vectors']:,}",
        f"{steps / counters['weight_vectors']:.3f}",
        _share(saved, steps + saved),
        f"{counters['bytes_read']:,}",
        f"{counters['bytes_written']:,}",
    ]


_HEADERS = [
    "layers",
    "cycles",
    "share",
    "array busy",
    "weight vectors",
    "steps per vector",
    "steps saved",
    "bytes read",
    "bytes written",
]


def phase_tokens(outcome: Outcome, phase: str) -> int:
    """Tokens that went through the model in a phase."""
    return len(outcome.prompt_tokens) if phase == PHASES[0] else len(outcome.generated) - 1


def cycles_per_token(outcome: Outcome, phase: str) -> float | None:
    """None: the machine has no time, or the phase did not occur."""
    counters, tokens = outcome.statistics.total(phase).counters, phase_tokens(outcome, phase)
    return counters.cycles / tokens if tokens and counters and counters.cycles else None


def verdict(outcome: Outcome) -> str:
    """What was compared with what, in sentences."""
    statistics = outcome.statistics
    lines = [
        f"All {statistics.values_compared:,} results of {statistics.layers_compared:,} runs of layers equal the "
        "integer reference bit for bit.",
        "The integer reference alone, without a machine, gives the same text and the same results."
        if outcome.software_same
        else "The integer reference alone gives ANOTHER text: this must not be.",
    ]
    count = len(outcome.generated)
    if outcome.packed_same == count:
        lines.append(
            f"So do the packed layers of fineq.huggingface: the same {count} tokens, although their activations are "
            "not quantized to 8 bits."
        )
    else:
        lines.append(
            f"The packed layers of fineq.huggingface give the same first {outcome.packed_same} of {count} tokens. They "
            "have the same weights, but their activations are floats where the machine's are 8-bit integers."
        )
    return " ".join(lines)


def as_markdown(outcome: Outcome) -> str:
    """The whole report."""
    settings, array = outcome.settings, outcome.config.array
    rows = {
        "model": outcome.model,
        "recipe": settings.recipe,
        "machine": f"`{settings.accelerator}`, {array.rows} x {array.columns}, {outcome.config.bus_bits}-bit bus",
        "transport": settings.transport,
        "memory": f"one bus word per cycle in each direction, latency {settings.latency}",
        "results of the machine": settings.output,
        "early termination": "on" if settings.early_termination else "off",
        "linear layers": f"{outcome.layers} in {outcome.chains} chains of descriptors per pass",
        "weights in device memory": f"{outcome.image_bytes:,} bytes",
        "next token": f"temperature {settings.temperature}, seed {settings.seed}"
        if settings.temperature
        else "the most likely",
        "SHA-256 of all results": f"`{outcome.digest}`",
    }
    parts = [
        "# A language model on the accelerator",
        f"Made by `{command(outcome)}`. Every linear layer of every block ran on the machine; attention, norms, the "
        "gating function and the choice of tokens on the host. docs/hardware/driver.md says how.",
        table(("", ""), rows.items()).rstrip(),
        "## The text",
        f"> {outcome.prompt}**{outcome.text}**".replace("\n", "\n> "),
        f"The first {len(outcome.prompt_tokens)} tokens are the prompt; {len(outcome.generated)} were generated. "
        f"{verdict(outcome)}",
    ]
    for phase in PHASES:
        tokens, total = phase_tokens(outcome, phase), outcome.statistics.total(phase)
        if not tokens:
            continue
        per_token = cycles_per_token(outcome, phase)
        rows_of_kinds = [
            _row(kind, outcome.statistics.total(phase, kind), total)
            for kind in outcome.statistics.kinds
            if (phase, kind) in outcome.statistics.shares
        ]
        parts += [
            f"## {phase.capitalize()}: {tokens} tokens, {'all at once' if phase == PHASES[0] else 'one at a time'}",
            f"{per_token:,.0f} cycles per token." if per_token else "This machine has no time: no cycles.",
            table(_HEADERS, [*rows_of_kinds, _row("all", total, total)], "lr").rstrip(),
        ]
    counters = outcome.statistics.total().counters
    if counters and counters.cycles:
        parts += ["## Stages", _stages(outcome)]
    return "\n\n".join(parts) + "\n"


def _stages(outcome: Outcome) -> str:
    rows = []
    for stage in STAGES:
        row = [stage.replace("_", " ")]
        for phase in PHASES:
            counters = outcome.statistics.total(phase).counters
            for what in ("busy", "stall"):
                row.append(_share(counters[f"{stage}_{what}"], counters.cycles or 0) if counters else _NO_TIME)
        rows.append(row)
    headers = ["stage", *(f"{phase}, {what}" for phase in PHASES for what in ("busy", "stalled"))]
    lead = "Share of the cycles; docs/hardware/registers.md says what counts as busy and as stalled."
    return f"{lead}\n\n{table(headers, rows, 'lr')}".rstrip()


def command(outcome: Outcome) -> str:
    """The command line that made this."""
    text = "fineq sim-llm"
    for name, value in vars(outcome.settings).items():
        default = getattr(type(outcome.settings), name)
        if value != default:
            option = name.replace("_", "-")
            text += f" --no-{option}" if value is False else f" --{option} {value}"
    return text


def as_dict(outcome: Outcome) -> dict:
    """Everything in the report, for programs."""
    return {
        "settings": vars(outcome.settings),
        "model": outcome.model,
        "prompt": outcome.prompt,
        "text": outcome.text,
        "prompt_tokens": list(outcome.prompt_tokens),
        "generated": list(outcome.generated),
        "digest": outcome.digest,
        "layers_compared": outcome.statistics.layers_compared,
        "values_compared": outcome.statistics.values_compared,
        "software_same": outcome.software_same,
        "packed_same": outcome.packed_same,
        "packed_text": outcome.packed_text,
        "cycles_per_token": {
            phase: cycles_per_token(outcome, phase) for phase in PHASES if phase_tokens(outcome, phase)
        },
        "shares": [
            {"phase": phase, "layers": kind, "runs": share.runs, "products": share.products}
            | {"cycle_accurate": share.counters.cycle_accurate, "counters": dict(share.counters.values)}
            for (phase, kind), share in outcome.statistics.shares.items()
            if share.counters is not None  # a share is made when a layer has run
        ],
    }


def write_report(outcome: Outcome, directory: Path) -> list[Path]:
    """Write sim-llm.md and sim-llm.json; each appears whole or not at all.

    Raises:
        OSError: the place cannot be written.
    """
    contents = {"md": as_markdown(outcome), "json": json.dumps(as_dict(outcome), indent=1) + "\n"}
    return [write_text(directory / f"{NAME}.{suffix}", content) for suffix, content in contents.items()]
