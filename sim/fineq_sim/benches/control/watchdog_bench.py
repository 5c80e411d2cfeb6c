"""Watchdog against a count of its own: signs of life at random moments, limits that change."""

from __future__ import annotations

import cocotb

from fineq_hw.config import AcceleratorConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.testbench import settle


@cocotb.test()
@cocotb.parametrize(limit=[0, 1, 2, 7])
async def expires_after_the_limit(dut, limit):
    """Not a cycle sooner, and as long as nothing happens."""
    tb: Bench[AcceleratorConfig] = Bench(dut, salt=f"watchdog {limit}")
    tb.drive(limit=limit, waiting=0, alive=0)
    await tb.begin()
    count = fired = 0
    for cycle in range(2000):
        lively = 0.3 if cycle < 1000 else 0.02
        waiting, alive = int(tb.source.random() > lively), int(tb.source.random() < lively)
        tb.drive(waiting=waiting, alive=alive)
        await settle()
        expired = bool(limit) and count >= limit
        assert tb.read("expired") == expired, f"cycle {cycle}: {count} silent cycles, the limit is {limit}"
        fired += expired
        count = count + 1 if waiting and not alive else 0
        await tb.clock()
    assert bool(fired) == bool(limit)


@cocotb.test()
async def the_limit_may_change_at_any_time(dut):
    """Switched on, it counts from then on; lowered below the count, it expires at once."""
    tb: Bench[AcceleratorConfig] = Bench(dut, salt="watchdog")
    tb.drive(limit=0, waiting=1, alive=0)
    await tb.begin()
    await tb.clock(50)
    tb.drive(limit=20)
    await tb.clock(19)
    assert not await tb.read_settled("expired")
    tb.drive(limit=5)
    assert await tb.read_settled("expired")
    tb.drive(limit=0)
    assert not await tb.read_settled("expired")
    await tb.clock()
    tb.drive(limit=(1 << 32) - 1)
    await tb.clock(100)
    assert not await tb.read_settled("expired")


@cocotb.test()
async def an_expired_count_waits(dut):
    """However long it has expired: raised by some cycles, the limit is reached after these."""
    tb: Bench[AcceleratorConfig] = Bench(dut, salt="watchdog expired")
    tb.drive(limit=5, waiting=1, alive=0)
    await tb.begin()
    await tb.clock(100)
    assert await tb.read_settled("expired")
    tb.drive(limit=15)
    for _ in range(10):
        assert not await tb.read_settled("expired")
        await tb.clock()
    assert await tb.read_settled("expired")
