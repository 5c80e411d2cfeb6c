"""`fineq` as a user calls it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple
from unittest import mock

from fineq.cli import main


class Outcome(NamedTuple):
    """What a call left."""

    code: int
    stdout: str
    stderr: str


def run_fineq(*arguments: object, environment: Mapping[str, str] | None = None) -> Outcome:
    """Call `fineq` in this process, so that what a test has replaced stays replaced.

    Args:
        arguments: sub-command and its arguments.
        environment: variables that are set for the call.
    """
    words = ["fineq", *map(str, arguments)]
    stdout, stderr = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.object(sys, "argv", words),
        mock.patch.dict(os.environ, environment or {}),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    return Outcome(code if isinstance(code, int) else 1, stdout.getvalue(), stderr.getvalue())


def start_fineq(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Call `fineq` in a process of its own."""
    command = [sys.executable, "-m", "fineq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
