"""What commands tell beside their results, on stderr."""

from __future__ import annotations

import os
import sys
import warnings


def note_slow_path() -> None:
    """Say that the compiled kernels are not in use, unless the user chose so."""
    from fineq import kernels
    from fineq.kernels import libraries

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reason = None if os.environ.get("FINEQ_NATIVE") == "0" else kernels.reason()
        if reason:
            for name in libraries.CONTRACTION:  # each warns once: here, where it is not heard
                libraries.compiled(name)
    if reason:
        sentence = f"FineQ's compiled kernels are not in use, so this takes many times longer: {reason}"
        print(f"note: {sentence}", file=sys.stderr)


def warn(sentence: str) -> None:
    """A warning, red on a terminal."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print(f"WARNING: {sentence}", style="bold red")
