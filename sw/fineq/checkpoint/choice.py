"""The record of a recipe that was chosen for a model, for the report, the card and the user.

The choice itself is made in `fineq.evaluation.automatic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fineq.checkpoint.loss_check import LossCheck


@dataclass(frozen=True)
class RecipeChoice:
    """Which recipe was taken where the user named none.

    Attributes:
        recipe: its name.
        why: a clause that goes on after the recipe's name.
        tried: what was measured of the data-free recipe; None: nothing was.
    """

    recipe: str
    why: str
    tried: LossCheck | None = None

    def sentence(self) -> str:
        """For a line of output."""
        return f"recipe {self.recipe}, chosen because {self.why}"

    def to_json(self) -> dict[str, Any]:
        """For the report."""
        outcome: dict[str, Any] = {"recipe": self.recipe, "why": self.why}
        return outcome | ({"data_free_recipe": self.tried.to_json()} if self.tried else {})
