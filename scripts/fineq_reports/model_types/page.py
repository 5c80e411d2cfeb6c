"""The page of model types."""

from __future__ import annotations

from importlib import metadata

from fineq.common.markdown import table
from fineq_reports.model_types.outcome import REFUSED, UNTRIED, WORKS, WRONG, Outcome

INTRODUCTION = """\
# Model types

Made by `fineq model-types`, with transformers {transformers} and torch {torch}.

Every type that transformers writes text with, as a tiny model with random weights: quantized with recipe `mse`, loaded
with `from_pretrained`, its packed weights compared with those of the source, its logits and a generated text compared
with a full-precision model that has the dequantized weights, saved again and compared bit for bit; then the same with
`--embeddings --lm-head`. "Works" is all of it. Published models of a type may have parts that its defaults lack; they
go through the same checks when they are quantized and loaded.
"""

EXPLAINED = {
    WORKS: "Share: of the weights in matrices of the decoder blocks, how much is packed. The rest is kept for the "
    "reasons that are given, with the number of tensors.",
    REFUSED: "`fineq quantize` says so before it writes anything.",
    UNTRIED: "transformers alone makes no tiny model, or cannot load the one that it saved: nothing is known.",
    WRONG: "These are defects of FineQ.",
}

OF_EVERY_MODEL = {
    "norm, bias or other vector",
    "input embedding: --embeddings packs it",
    "output head: --lm-head packs it",
}
"""Reasons that hold for every model."""


def as_markdown(outcomes: list[Outcome]) -> str:
    """The page."""
    versions = {name: metadata.version(name) for name in ("transformers", "torch")}
    groups = {result: [o for o in outcomes if o.result == result] for result in (WORKS, REFUSED, UNTRIED, WRONG)}
    lines = [INTRODUCTION.format(**versions)]
    lines.append(table(("Result", "Types"), [(result, len(group)) for result, group in groups.items()], "lr"))
    for result, group in groups.items():
        if not group:
            continue
        lines += [f"## {result.capitalize()}\n", EXPLAINED[result] + "\n"]
        lines.append(_works(group) if result == WORKS else _reasons(group))
    return "\n".join(lines).rstrip() + "\n"


def _works(group: list[Outcome]) -> str:
    rows = []
    for outcome in group:
        kept = "; ".join(
            f"{reason} ({count})" for reason, count in outcome.kept.items() if reason not in OF_EVERY_MODEL
        )
        embeddings = "yes" if outcome.embeddings == WORKS else outcome.embeddings
        rows.append((outcome.model_type, f"{outcome.packed:.0%}", kept, embeddings, ", ".join(outcome.lacks)))
    headers = ("Type", "Share", "Kept besides", "`--embeddings --lm-head`", "Not in the tiny model")
    return table(headers, rows, "lrlll")


def _reasons(group: list[Outcome]) -> str:
    return table(("Type", "Why"), [(outcome.model_type, outcome.reason) for outcome in group], "ll")
