"""Verdicts of provers, kept: one that was reached holds for any time limit, one that was not for as short a limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from fineq.common.files import write_text

UNKNOWN = "unknown"


class NotKept(Exception):
    """There is no verdict, and none is to be found now."""


def kept_verdict(file: Path, limit_s: float, find: Callable[[], str]) -> str:
    """The verdict in a file, or a new one that is put there.

    Args:
        file: named by a hash of everything but the limit; its directory is created.
        limit_s: after which `find` gives up with `UNKNOWN`.
        find: what is asked if nothing fits.
    """
    if file.is_file():
        verdict, limit = json.loads(file.read_text(encoding="utf-8"))
        if verdict != UNKNOWN or limit >= limit_s:
            return verdict
    verdict = find()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps([verdict, limit_s]))
    return verdict
