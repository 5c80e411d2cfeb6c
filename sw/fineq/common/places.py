"""Whether something can be written in a place, asked before long work."""

from __future__ import annotations

import os
from pathlib import Path

from fineq.common.errors import FineqError


def why_not_new(path: Path) -> str | None:
    """Why nothing can be made under a name, as the rest of a sentence; None: nothing is in the way."""
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which does not exist"
    if os.path.lexists(path):
        return "exists already"
    return None


def check_new(path: Path) -> None:
    """Raise if nothing can be made under a name.

    Raises:
        FineqError: there is something already, be it a dangling link, or it is no name (`..`).
    """
    obstacle = why_not_new(path)
    if obstacle or path.name in ("", ".."):
        raise FineqError(f"{path} {obstacle or 'is no name'}: choose another output, or remove it")


def check_directory(path: Path) -> None:
    """Raise if no files can be put into a directory, which need not exist yet. Nothing is made.

    Raises:
        FineqError: it is a file, a dangling link or below one, or may not be written to.
    """
    place = next(each for each in (path, *path.absolute().parents) if os.path.lexists(each))
    if not place.exists():
        raise FineqError(f"{place} {why_not_new(place)}: choose another output, or remove it")
    if not place.is_dir():
        raise FineqError(f"{place} is no directory: choose another output")
    if not os.access(place, os.W_OK):
        raise FineqError(f"{place} may not be written to: choose another output")
