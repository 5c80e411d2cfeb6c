"""Where models are: the one that is shipped, and those of the user."""

from __future__ import annotations

import os
from pathlib import Path

from fineq.common.errors import FineqError

SHIPPED_MODEL = "storyteller"

MODELS_VARIABLE = "FINEQ_MODELS"
"""Environment variable: a directory of model directories that tables show beside the shipped model."""


def shipped_model_path() -> Path:
    """Directory of the small model that the package carries."""
    return Path(__file__).parents[1] / "data" / SHIPPED_MODEL


def further_models() -> list[Path]:
    """Model directories under `FINEQ_MODELS`, by name; none if it is not set.

    Raises:
        FineqError: it is set, and there is no model in it.
    """
    root = os.environ.get(MODELS_VARIABLE)
    if not root:
        return []
    found = sorted(path.parent for path in Path(root).glob("*/config.json"))
    if not found:
        raise FineqError(f"{MODELS_VARIABLE} is {root}: there is no model directory in it")
    return found


def find_model(which: str | None) -> Path:
    """A model directory: given as a path, by its name under `FINEQ_MODELS`, or the shipped one."""
    if which is None:
        return shipped_model_path()
    root = os.environ.get(MODELS_VARIABLE)
    if not Path(which).exists() and root and (Path(root) / which).exists():
        return Path(root) / which
    return Path(which)
