"""Ratios and peaks of memory follow from what was timed."""

import pytest

from fineq_reports.bench import records, timing


def test_ratios_are_taken_within_a_round(monkeypatch):
    # Warm-up, then two rounds: baseline, case, baseline; the machine is ten times slower in the second.
    times = iter([timing.Times(t, 1.0) for t in (1.0, 6.0, 2.0, 10.0, 30.0, 10.0)])
    monkeypatch.setattr(timing, "times_of", lambda function: next(times))
    table = timing.measure("title", {"base": lambda: None, "unpack to int8": lambda: None}, 2, weights=36)
    base, case = table.rows
    assert base.seconds == 6.0 and base.ratio == 1.0 and base.verdict == ""
    assert case.seconds == 18.0 and case.rate == 2.0
    assert case.cpu_seconds == case.cpu_ratio == 1.0
    assert case.ratio == pytest.approx((6 / 1.5 + 3) / 2) and case.quartiles == pytest.approx((3.25, 3.75))
    assert case.verdict == "within 6"
    assert records.Row("unpack to int8", 1.0, 1.0, 6.1, (6.0, 6.2), 6.1, 1.0, 6.0).verdict == "misses 6"


def test_peak_memory_counts_what_the_step_needs():
    megabytes = timing.peak_of(lambda: bytearray(b"x" * 50_000_000))
    if megabytes is None:
        pytest.skip("this system does not tell the peak")
    assert 95 < megabytes < 110
