"""How far long work is, how fast it goes and how long the rest takes, on the terminal or in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much it is in all."""


class Pace:
    """Rate and time left of work that is reported now and then.

    A report with another total, or with no more done than the one before, is of new work: it began with the report
    before.

    Args:
        done: what an earlier run has done of the first work.
    """

    def __init__(self, done: int = 0) -> None:
        self._start = self._last = time.monotonic()
        self._first = self._done = done
        self._total: int | None = None

    def report(self, done: int, total: int) -> None:
        if self._total is not None and (total != self._total or done <= self._done):
            self._start, self._first = self._last, 0
        self._last, self._done, self._total = time.monotonic(), done, total

    @property
    def rate(self) -> float:
        """Units a second."""
        return (self._done - self._first) / max(self._last - self._start, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """None: nothing is done yet that tells."""
        return (self._total - self._done) / self.rate if self._total is not None and self.rate > 0 else None


@contextmanager
def progress_display(
    describe_rate: Callable[[float], str] | None = None,
    *,
    done: int = 0,
    console: Console | None = None,
    seconds: float = 5.0,
) -> Iterator[Progress]:
    """Show progress as a bar; as lines when the output is not a terminal.

    Args:
        describe_rate: text for a number of units a second; None: the units are few, they are shown and no rate.
        done: what an earlier run has done of the work.
        console: stderr when omitted.
        seconds: least time between two lines; the last line of a piece of work is always printed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    console = console or Console(stderr=True)
    pace, printed = Pace(done), time.monotonic()

    def speed(done: int, total: int) -> str:
        pace.report(done, total)
        left = "" if pace.seconds_left is None else f"{pace.seconds_left:.0f} s left"
        return "  ".join(part for part in (describe_rate(pace.rate) if describe_rate else "", left) if part)

    def print_line(what: str, done: int, total: int) -> None:
        nonlocal printed
        how_far = f"{done / total:4.0%}" if describe_rate else f"{done}/{total}"
        parts = (how_far, speed(done, total), what)
        if time.monotonic() - printed >= seconds or done == total:
            printed = time.monotonic()
            console.print("  ".join(filter(None, parts)), markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield print_line
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    counts = () if describe_rate else (MofNCompleteColumn(),)
    with Bars(*columns, *counts, TextColumn("{task.fields[speed]}"), console=console, transient=True) as bars:
        task = bars.add_task("", total=None, speed="")

        def show(what: str, done: int, total: int) -> None:
            bars.update(task, description=what, completed=done, total=total, speed=speed(done, total))

        yield show
