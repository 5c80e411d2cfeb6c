"""Performance counters in hardware: two halves that are never torn, events as wide as they must be."""

from __future__ import annotations

from amaranth.hdl import Shape
from helpers.hardware.hardware_simulation import simulate

from fineq_hw.control.event_counter import EventCounter


def test_event_counter_carries_from_half_to_half():
    """With small halves: the high half belongs to the low half of the cycle before, also around a clear."""
    counter = EventCounter(Shape(3), half_bits=4)

    async def bench(context):
        total, history = 0, []
        for cycle in range(200):
            event = (cycle * 5 + cycle // 7) % 8
            clear = cycle in (90, 91, 97, 150)
            context.set(counter.event, event)
            context.set(counter.clear, clear)
            history.append((total, context.get(counter.low), context.get(counter.high)))
            total = 0 if clear else total + event
            await context.tick()
        for (count, low, _), (_, _, high) in zip(history, history[1:], strict=False):
            assert (high << 4 | low) == count % 256

    simulate(counter, bench)
