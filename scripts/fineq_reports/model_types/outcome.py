"""What came of a model type."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

WORKS, REFUSED, WRONG, UNTRIED = "works", "refused", "wrong", "not tried"
"""`wrong` must not happen: what is written loads and computes the same, or it is refused."""


@dataclass
class Outcome:
    """What came of a model type.

    Attributes:
        model_type: its name in transformers.
        result: `works`, `refused`, `wrong` or `not tried`.
        reason: of anything but `works`.
        packed: share that is packed of the weights in matrices of the decoder blocks.
        kept: why matrices of the decoder blocks stay as they are: number of tensors by reason.
        embeddings: what came of `--embeddings --lm-head`: `works`, or why not.
        lacks: parts that models of this type have by default, and the tiny one has not.
    """

    model_type: str
    result: str
    reason: str = ""
    packed: float = 0.0
    kept: dict[str, int] = field(default_factory=dict)
    embeddings: str = ""
    lacks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def regressions(before: list[Outcome], after: list[Outcome]) -> list[str]:
    """Sentences about types that worked before and do not any more, and about all that are wrong now."""
    worked = {outcome.model_type for outcome in before if outcome.result == WORKS}
    now = {outcome.model_type: outcome for outcome in after}
    return [
        f"{name} {'worked and' if name in worked else ''} is {now[name].result}: {now[name].reason}".replace("  ", " ")
        for name in sorted(now)
        if now[name].result == WRONG or (name in worked and now[name].result != WORKS)
    ]
