"""The page of what works with which model type."""

from __future__ import annotations

from importlib import metadata

from fineq.common.markdown import table
from fineq_reports.model_types.outcome import REFUSED, WORKS, WRONG
from fineq_reports.model_types.support import STAGES, Support

SHOWN = {WORKS: "yes", REFUSED: "refused", WRONG: "**wrong**"}


def as_markdown(found: list[Support], command: str) -> str:
    """The page."""
    versions = {name: metadata.version(name) for name in ("transformers", "torch")}
    rows = [
        (f"`{each.model_type}`", *(SHOWN.get(each.stages.get(stage, ""), "not tried") for stage in STAGES))
        for each in found
    ]
    counts = [sum(each.stages.get(stage) == WORKS for each in found) for stage in STAGES]
    lines = [
        "# What works with which model\n",
        f"Made by `{command}`, with transformers {versions['transformers']} and torch {versions['torch']}. Each type "
        "is a tiny model with random weights: what is shown is that a stage goes through and gives numbers, not that "
        "they are good ones. That the packed layers compute what they should is the subject of "
        "[model types](model-types.md), accuracy that of the [tables](../project/results.md).\n",
        table(("type", *STAGES), [*rows, (f"of {len(found)}", *counts)], "l" * (len(STAGES) + 1)),
        *(f"* {stage}: {meaning}." for stage, (meaning, _) in STAGES.items()),
    ]
    reasons = [f"* `{each.model_type}`, {stage}: {text}" for each in found for stage, text in each.reasons.items()]
    if reasons:
        lines += ["\n## Why not\n", *reasons]
    lacks = [f"* `{each.model_type}`: {', '.join(each.lacks)}" for each in found if each.lacks]
    if lacks:
        lines += ["\n## Parts that the tiny models lack\n", *lacks]
    return "\n".join(lines) + "\n"
