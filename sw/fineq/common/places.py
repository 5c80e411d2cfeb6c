"""Whether something can be written in a place, asked before long work."""

from __future__ import annotations

import os
from pathlib import Path


def why_not_new(path: Path) -> str | None:
    """Why nothing can be made under a name, as the rest of a sentence; None: nothing is in the way."""
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which does not exist"
    if os.path.lexists(path):
        return "exists already"
    return None
