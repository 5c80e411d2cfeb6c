"""Rate and time left of work, on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from fineq.common import progress
from fineq.common.progress import Pace, progress_display


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves on: `clock[0]`, in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_time_left(clock):
    pace = Pace()
    assert pace.seconds_left is None
    clock[0] += 4
    pace.report(20, 100)
    assert (pace.rate, pace.seconds_left) == (5.0, 16.0)


def test_an_earlier_run_does_not_count(clock):
    pace = Pace(done=80)
    clock[0] += 2
    pace.report(90, 100)
    assert (pace.rate, pace.seconds_left) == (5.0, 2.0)


@pytest.mark.parametrize("done, total", [(20, 40), (5, 100)], ids=["another total", "less done"])
def test_new_work_begins_with_the_report_before(clock, done, total):
    pace = Pace()
    clock[0] += 1000
    pace.report(10, 100)
    clock[0] += 2
    pace.report(done, total)
    assert (pace.rate, pace.seconds_left) == (done / 2, (total - done) / (done / 2))


def test_lines_in_a_log(clock):
    log = io.StringIO()
    with progress_display(lambda rate: f"{rate:.1f} rows/s", console=Console(file=log)) as report:
        for done in (0, 10, 25, 39, 40):
            report("layer [0]", done, 40)
            clock[0] += 2.5
    assert log.getvalue().splitlines() == [
        " 62%  5.0 rows/s  3 s left  layer [0]",
        "100%  4.0 rows/s  0 s left  layer [0]",
    ]


def test_few_units_are_counted(clock):
    log = io.StringIO()
    with progress_display(console=Console(file=log), seconds=0) as report:
        for done in range(3):
            report("cell", done, 2)
            clock[0] += 3
    assert log.getvalue().splitlines() == ["0/2  cell", "1/2  3 s left  cell", "2/2  0 s left  cell"]


def test_bar_on_a_terminal():
    screen = io.StringIO()
    with progress_display(console=Console(file=screen, force_terminal=True, width=80)) as report:
        report("layer [0]", 30, 40)
    assert "layer [0]" in screen.getvalue() and "75%" in screen.getvalue() and "30/40" in screen.getvalue()
