"""Names that help texts list, by the placeholder that stands for them: `{recipes}` and so on.

They are asked for when a help text is printed, because the modules that know them are heavy.
"""

from __future__ import annotations

from collections.abc import Callable


def recipes() -> list[str]:
    """Recipes that need the weights alone."""
    from fineq.quantizer.recipes import RECIPES

    return list(RECIPES)


def calibrated() -> list[str]:
    """Recipes that need a text."""
    from fineq.calibrated import RECIPES

    return list(RECIPES)


def baselines() -> list[str]:
    """Methods to compare with."""
    from fineq.baselines import BASELINES, CALIBRATED_BASELINES

    return [*BASELINES, *CALIBRATED_BASELINES]


CHOICES: dict[str, Callable[[], list[str]]] = {
    f"{{{function.__name__}}}": function for function in (recipes, calibrated, baselines)
}


def filled(text: str) -> str:
    """A help text with names in the place of placeholders."""
    for placeholder, names in CHOICES.items():
        if placeholder in text:
            text = text.replace(placeholder, ", ".join(names()))
    return text
