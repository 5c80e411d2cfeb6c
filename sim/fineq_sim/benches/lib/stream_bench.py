"""The stream drivers themselves: a register stage between a producer and a consumer (see tests/sim)."""

from __future__ import annotations

import cocotb

from fineq_sim.bench.bench import Bench
from fineq_sim.bench.streams import StreamConsumer, StreamProducer


@cocotb.test()
async def beats_arrive_in_order(dut):
    tb: Bench[None] = Bench(dut)
    producer, consumer = StreamProducer.with_stalls(dut, "i", 0.3), StreamConsumer.with_stalls(dut, "o", 0.6)
    tb.streams += [producer, consumer]
    await tb.begin()
    beats = [number % 256 for number in range(300)]
    producer.send(beats)
    assert await consumer.receive(len(beats)) == beats
    tb.assert_empty()
