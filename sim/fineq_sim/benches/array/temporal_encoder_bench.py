"""Temporal encoder: every weight, and for a cluster every three that the format can store, step by step."""

from __future__ import annotations

from itertools import product

import cocotb
import numpy as np

from fineq.format import CLUSTER_WEIGHTS, MAX_NORMAL, OUTLIER_BITS
from fineq.format.temporal import MAX_CYCLES, array_cycles
from fineq_hw.array.encodings.registry import groups
from fineq_hw.config import ArrayConfig
from fineq_sim.bench.bench import Bench
from fineq_sim.bench.power_up import NEVER
from fineq_sim.bench.testbench import random_source, settle
from fineq_sim.reference.bits import pack
from fineq_sim.reference.weights import carried, from_sign_magnitude, step_values


class TemporalEncoderBench(Bench[ArrayConfig]):
    only_while = {"lines": NEVER, "following": NEVER}
    inputs = ("load", "update", "weights")

    def __init__(self, dut):
        super().__init__(dut)
        self.group = groups(self.config)[0]

    @property
    def every_load(self) -> list[tuple[int, ...]]:
        """All fields that may come in together."""
        fields = list(product(range(1 << OUTLIER_BITS), repeat=self.group.size))
        if not self.group.is_cluster:
            return fields
        values = [[from_sign_magnitude(field, OUTLIER_BITS) for field in three] for three in fields]
        return [f for f, three in zip(fields, values, strict=True) if max(map(abs, three)) <= MAX_NORMAL or 0 in three]

    async def load(self, fields: tuple[int, ...], single_step: bool) -> None:
        if self.group.encoding.vector_ports:
            self.drive(single_step=int(single_step))
        self.drive(weights=pack(list(fields), OUTLIER_BITS), load=1)
        await self.advance()
        self.drive(load=0)

    async def advance(self) -> None:
        await self.pulse(update=1)
        await settle()

    def contributions(self) -> list[int]:
        """What the lines make a row add in this step, as a multiple of the activation of each column."""
        value, lines, position = int(self.dut.lines.value), {}, 0
        for name, field in self.group.lines_layout:
            lines[name] = value >> position & ((1 << field.width) - 1)
            position += field.width
        if self.group.is_cluster:
            return self._of_cluster(lines)
        if "pulse" in lines:
            assert lines["pulse"] or not lines["negative"]
            return [-1 if lines["negative"] else lines["pulse"]]
        if "when_one" in lines:
            assert lines["when_one"] or lines["when_zero"], "both signs at once"
            return [lines["when_zero"] - lines["when_one"]]
        if self.config.encoding == "2s-unary":
            assert not (lines["single"] and lines["double"]), "both values at once"
        return [(lines["single"] + 2 * lines["double"]) * (-1 if lines["negative"] else 1)]

    def _of_cluster(self, lines: dict[str, int]) -> list[int]:
        """Sums over the slots; no slot may be used twice."""
        total, used = [0] * CLUSTER_WEIGHTS, set()
        for slot in range(CLUSTER_WEIGHTS):
            takes = [(slot, 1)] if lines["single"] >> slot & 1 else []
            takes += [(a, 2) for a in range(CLUSTER_WEIGHTS) if a != slot and lines[f"double_{a}_in_{slot}"]]
            assert len(takes) <= 1, f"slot {slot} takes {takes}"
            for column, worth in takes:
                assert (column, worth) not in used, f"column {column} goes to two slots"
                used.add((column, worth))
                total[column] += -worth if lines["negative"] >> column & 1 else worth
        return total

    async def send(self, fields: tuple[int, ...], early: bool) -> None:
        weights = [from_sign_magnitude(field, OUTLIER_BITS) for field in fields]
        encoding = self.config.encoding
        steps = int(array_cycles(np.array([weights]), encoding, early)[0])
        await self.load(fields, steps == 1)
        total = [0] * len(weights)
        for step in range(steps):
            got = self.contributions()
            if not self.group.is_cluster:
                expected = [step_values(weight, encoding, steps)[step : step + 1] or [0] for weight in weights]
                assert got == [value for (value,) in expected], f"weights {weights}, step {step}: {got}"
            doubled = carried(encoding)
            total = [doubled * before + now for before, now in zip(total, got, strict=True)]
            await self.advance()
        assert total == weights, f"the pulses of {weights} add up to {total}"
        assert not any(self.contributions()), f"{weights} goes on after {steps} steps"


@cocotb.test()
@cocotb.parametrize(early=[True, False])
async def every_weight(dut, early):
    tb = await TemporalEncoderBench.begun(dut)
    for fields in tb.every_load:
        await tb.send(fields, early)


@cocotb.test()
async def keeps_its_pulses(dut):
    """Only `update` changes anything, whatever stands on the weight port."""
    tb = await TemporalEncoderBench.begun(dut)
    source = random_source("keep")
    for _ in range(50):
        fields = source.choice(tb.every_load)
        await tb.load(fields, False)
        kept = tb.contributions()
        for _ in range(3):
            dut.weights.value = source.getrandbits(OUTLIER_BITS * tb.group.size)
            dut.load.value = source.randrange(2)
            await tb.clock()
            await settle()
            assert tb.contributions() == kept
        dut.load.value = 0


@cocotb.test()
async def a_new_weight_replaces_what_is_due(dut):
    tb = await TemporalEncoderBench.begun(dut)
    source = random_source("replace")
    for _ in range(50):
        await tb.load(source.choice(tb.every_load), False)
        for _ in range(source.randrange(MAX_CYCLES[tb.config.encoding])):
            await tb.advance()
        await tb.send(source.choice(tb.every_load), bool(source.randrange(2)))
