"""The stream drivers themselves: a register stage between a producer and a consumer (see tests/sim)."""

from __future__ import annotations

import cocotb

from fineq_sim.bench.streams import StreamConsumer, StreamProducer, assert_empty
from fineq_sim.bench.testbench import reset, start_clock


@cocotb.test()
async def beats_arrive_in_order(dut):
    start_clock(dut)
    producer, consumer = StreamProducer.with_stalls(dut, "i", 0.3), StreamConsumer.with_stalls(dut, "o", 0.6)
    await reset(dut)
    beats = [number % 256 for number in range(300)]
    producer.send(beats)
    producer.start()
    consumer.start()
    assert await consumer.receive(len(beats)) == beats
    assert_empty(producer, consumer)
