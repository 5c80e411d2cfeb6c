"""A self-test from memory of the FPGA: accesses that were recorded from a run, played again and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Out

from fineq_hw.link.word_bus import word_bus


class Step(IntEnum):
    """What a step of a script does."""

    WRITE = 0
    CHECK = 1
    """A read must give the word."""
    AWAIT = 2
    """A read must give the word sooner or later."""
    END = 3


@dataclass(frozen=True)
class ScriptStep:
    """A step; `address` of 30 bits has its two highest ones at the place of bits 31 and 30 of the bus."""

    step: Step
    address: int
    data: int

    def encoded(self) -> int:
        """64 bits of the script's memory: addresses are of whole words."""
        return self.data | self.address >> 2 << 32 | self.step << 62


class ScriptPlayer(wiring.Component):
    """Plays a script once, after reset.

    Args:
        script: at least one step.
        patience: tries of an AWAIT.

    Ports:
        bus: accesses.
        running, passed, failed: how it stands.
    """

    def __init__(self, script: Sequence[ScriptStep], patience: int = 1 << 20) -> None:
        self.script, self.patience = list(script), patience
        super().__init__({"bus": Out(word_bus), "running": Out(1), "passed": Out(1), "failed": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        end = ScriptStep(Step.END, 0, 0).encoded()
        init = [step.encoded() for step in self.script] + [end]
        m.submodules.memory = memory = Memory(shape=64, depth=len(init), init=init)
        read = memory.read_port(domain="sync")
        place, tries = Signal(range(len(init))), Signal(range(self.patience + 1))
        step = read.data[62:]
        bus = self.bus
        right = ~bus.error & ((step == Step.WRITE) | (bus.answer == read.data[:32]))
        m.d.comb += [
            read.addr.eq(place),
            bus.write.eq(step == Step.WRITE),
            bus.address.eq(read.data[32:62] << 2),
            bus.data.eq(read.data[:32]),
        ]
        with m.FSM():
            with m.State("FETCH"):
                m.d.comb += self.running.eq(1)
                m.d.sync += tries.eq(0)
                m.next = "STEP"
            with m.State("STEP"):
                m.d.comb += [self.running.eq(1), bus.valid.eq(step != Step.END)]
                with m.If(step == Step.END):
                    m.next = "PASSED"
                with m.Elif(bus.ready):
                    m.d.sync += tries.eq(tries + 1)
                    with m.If(right):
                        m.d.sync += place.eq(place + 1)
                        m.next = "FETCH"
                    with m.Elif((step != Step.AWAIT) | (tries == self.patience)):
                        m.next = "FAILED"
            with m.State("PASSED"):
                m.d.comb += self.passed.eq(1)
            with m.State("FAILED"):
                m.d.comb += self.failed.eq(1)
        return m
