"""Drives a core's streams in Amaranth's simulator, each with its own random pauses, and keeps the cycle numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Const
from amaranth.sim import Simulator


class StreamBench:
    """Feeds and drains the streams of one core.

    Attributes:
        accepted: per input stream, the cycles in which its beats were accepted.
        results: payloads as (sums, last), with `result_cycles` when they were taken and `valid_cycles`
            when they were first offered.
        computing_cycles: cycles with `computing` high.
    """

    def __init__(self, core, seed: int = 0, pause: float = 0.0, limit: int = 10_000) -> None:
        self.core = core
        self.random = random.Random(seed)
        self.pause = pause
        self.limit = limit
        self.accepted: dict[str, list[int]] = {}
        self.results: list[tuple[list[int], int]] = []
        self.result_cycles: list[int] = []
        self.valid_cycles: list[int] = []
        self.computing_cycles = 0
        self._cycle = 0

    def _pauses(self) -> bool:
        return self.random.random() < self.pause

    async def _count(self, ctx) -> None:
        computing = getattr(self.core, "computing", Const(0))
        async for _, _, step in ctx.tick().sample(computing):
            self._cycle += 1
            self.computing_cycles += step
            assert self._cycle < self.limit, f"only {len(self.results)} results after {self.limit} cycles"

    async def _feed(self, ctx, name: str, beats: Sequence) -> None:
        stream = getattr(self.core, name)
        self.accepted[name] = []
        for beat in beats:
            while self._pauses():
                await ctx.tick()
            ctx.set(stream.payload, beat)
            ctx.set(stream.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(stream.ready)
            self.accepted[name].append(self._cycle)
            ctx.set(stream.valid, 0)

    async def _drain(self, ctx, count: int) -> None:
        stream = self.core.results
        offered = None
        while len(self.results) < count:
            ready = not self._pauses()
            ctx.set(stream.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
            if not valid:
                assert offered is None, "results.valid fell before the result was taken"
                continue
            current = ([int(value) for value in payload.sums], int(payload.last))
            if offered is None:
                self.valid_cycles.append(self._cycle)
            assert offered in (None, current), "a result changed while it waited"
            offered = None if ready else current
            if ready:
                self.results.append(current)
                self.result_cycles.append(self._cycle)
        ctx.set(stream.ready, 0)

    def run(self, inputs: dict[str, Sequence], results: int, **constants: int) -> None:
        """Run until `results` results are taken; `constants` are plain input ports."""
        simulator = Simulator(self.core)
        simulator.add_clock(1e-6)

        async def bench(ctx) -> None:
            for name, value in constants.items():
                ctx.set(getattr(self.core, name), value)
            await self._drain(ctx, results)

        simulator.add_process(self._count)
        simulator.add_testbench(bench)
        for name, beats in inputs.items():

            async def feed(ctx, name=name, beats=beats) -> None:
                await self._feed(ctx, name, beats)

            simulator.add_testbench(feed, background=True)
        simulator.run()


def reference_sums(activations: np.ndarray, weights: np.ndarray, partials: np.ndarray | None = None) -> np.ndarray:
    """[vectors, rows] = weights [vectors, columns] @ activations^T [columns, rows] + partials."""
    sums = weights.astype(np.int64) @ activations.astype(np.int64).T
    return sums if partials is None else sums + partials
