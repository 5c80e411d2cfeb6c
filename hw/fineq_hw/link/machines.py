"""Whole machines behind a serial line: what a board holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.accelerator import make_accelerator
from fineq_hw.array.core import PackedCore
from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.interface.link import (
    GAP_CHARACTERS,
    LINK_BASE,
    LINK_MAGIC,
    LINK_VERSION,
    REGISTERS_BASE,
    Kind,
    LinkRegister,
    fingerprint,
)
from fineq_hw.interface.registers import ADDRESS_BITS
from fineq_hw.lib.axi import axi_lite_slave_ports, axi_master_ports
from fineq_hw.lib.hierarchy import place
from fineq_hw.link.frames import FrameEndpoint
from fineq_hw.link.memory import LinkMemory
from fineq_hw.link.script import ScriptPlayer, ScriptStep
from fineq_hw.link.targets import CoreStreams, InfoPort, RegisterPort
from fineq_hw.link.uart import UartReceiver, UartTransmitter

CHARACTER_BITS = 10
"""Of the line, start and stop included."""


class LinkedMachine(wiring.Component):
    """The line, the frames, a self-test, and something on the bus.

    Args:
        config: of the machine.
        divisor: clock cycles of a bit of the line.
        script: the self-test; empty: none.

    Ports:
        rx, tx: the line.
        running, passed, failed: how the self-test stands.
        active: something moves.
    """

    KIND: Kind

    def __init__(
        self, config: ArrayConfig | AcceleratorConfig, divisor: int, script: Sequence[ScriptStep] = ()
    ) -> None:
        self.config, self.divisor, self.script = config, divisor, list(script)
        outs = ("running", "passed", "failed", "active")
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), **{name: Out(1) for name in outs}})

    def machine(self, m: Module, reset: Signal) -> tuple[dict[int, Any], Signal, int]:
        """Place the machine; returns its targets by the two highest bits of addresses, its interrupt, its memory."""
        raise NotImplementedError

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        m.submodules.endpoint = endpoint = FrameEndpoint(GAP_CHARACTERS * CHARACTER_BITS * self.divisor)
        reset = Signal()
        targets, interrupt, memory_bytes = self.machine(m, reset)
        state = Signal(2)
        values = {
            LinkRegister.MAGIC: LINK_MAGIC,
            LinkRegister.VERSION: LINK_VERSION | self.KIND << 16,
            LinkRegister.FINGERPRINT: fingerprint(self.config),
            LinkRegister.MEMORY_BYTES: memory_bytes,
            LinkRegister.BAD_FRAMES: endpoint.bad_frames,
            LinkRegister.SELFTEST: state,
            LinkRegister.INTERRUPT: interrupt,
        }
        m.submodules.info = info = InfoPort(values, LinkRegister.RESET)
        m.d.comb += reset.eq(info.strobe)
        targets[LINK_BASE >> 30] = info.bus
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            endpoint.received.eq(receiver.data),
            endpoint.received_valid.eq(receiver.valid),
            transmitter.data.eq(endpoint.sent),
            transmitter.valid.eq(endpoint.sent_valid),
            endpoint.sent_ready.eq(transmitter.ready),
            self.active.eq(endpoint.bus.valid),
        ]
        if self.script:
            m.submodules.player = player = ScriptPlayer(self.script)
            m.d.comb += [getattr(self, name).eq(getattr(player, name)) for name in ("running", "passed", "failed")]
            masters = (player.bus, endpoint.bus)
            m.d.comb += state.eq(Mux(player.failed, 2, player.passed))
        else:
            masters = (endpoint.bus, endpoint.bus)
        chosen, other = masters
        first = self.running
        with m.Switch(Mux(first, chosen.address, other.address)[30:]):
            for space in range(4):
                with m.Case(space):
                    if space not in targets:
                        m.d.comb += self._answer(first, masters, None)
                        continue
                    target = targets[space]
                    m.d.comb += [
                        target.valid.eq(Mux(first, chosen.valid, other.valid)),
                        *self._answer(first, masters, target),
                    ]
        for target in targets.values():
            m.d.comb += [
                getattr(target, name).eq(Mux(first, getattr(chosen, name), getattr(other, name)))
                for name in ("write", "address", "data")
            ]
        return m

    @staticmethod
    def _answer(first, masters, target) -> list:
        """The answer goes to the master whose turn it is; a space without a target answers with an error."""
        chosen, other = masters
        ready, answer, error = (1, 0, 1) if target is None else (target.ready, target.answer, target.error)
        if chosen is other:
            return [other.ready.eq(ready), other.answer.eq(answer), other.error.eq(error)]
        return [
            chosen.ready.eq(first & ready),
            other.ready.eq(~first & ready),
            *(each.eq(answer) for each in (chosen.answer, other.answer)),
            *(each.eq(error) for each in (chosen.error, other.error)),
        ]


class LinkedAccelerator(LinkedMachine):
    """An accelerator with memory of the FPGA.

    Args:
        config, divisor, script: see `LinkedMachine`.
        memory_bytes: a power of two.
    """

    KIND = Kind.ACCELERATOR

    def __init__(
        self, config: AcceleratorConfig, divisor: int, memory_bytes: int, script: Sequence[ScriptStep] = ()
    ) -> None:
        self.memory_bytes = memory_bytes
        super().__init__(config, divisor, script)

    def machine(self, m: Module, reset: Signal) -> tuple[dict[int, Any], Signal, int]:
        assert isinstance(self.config, AcceleratorConfig)
        accelerator, port = make_accelerator(self.config), RegisterPort()
        memory = LinkMemory(self.config, self.memory_bytes)
        place(m, "accelerator", accelerator, reset=reset)
        m.submodules.registers, m.submodules.memory = port, memory
        for child, members in ((memory, axi_master_ports(self.config)), (port, axi_lite_slave_ports(ADDRESS_BITS))):
            for name, member in members.items():
                outer, inner = getattr(accelerator, name), getattr(child, name)
                m.d.comb += inner.eq(outer) if member.flow == Out else outer.eq(inner)
        # At power-up the flip-flops have their initial values, which are those of a reset of both.
        m.d.comb += accelerator.bus_rst.eq(0)
        return {0: memory.bus, REGISTERS_BASE >> 30: port.bus}, accelerator.irq, self.memory_bytes


class LinkedCore(LinkedMachine):
    """A core that takes packed lines; the host cuts layers into tiles and adds nothing but the link."""

    KIND = Kind.CORE

    def machine(self, m: Module, reset: Signal) -> tuple[dict[int, Any], Signal, int]:
        assert isinstance(self.config, ArrayConfig)
        core, streams = PackedCore(self.config), CoreStreams(self.config)
        place(m, "core", core, reset=reset)
        m.submodules.streams = streams
        for name in ("activations", "lines", "partials"):
            wiring.connect(m, getattr(streams, name), getattr(core, name))
        wiring.connect(m, core.results, streams.results)
        m.d.comb += [core.early_termination.eq(streams.early_termination)]
        return {0: streams.bus}, Signal(), 0


def linked_machine(
    config: ArrayConfig | AcceleratorConfig, divisor: int, memory_bytes: int, script: Sequence[ScriptStep] = ()
) -> LinkedMachine:
    """A core or an accelerator behind a serial line; a core has no memory. Arguments: see `LinkedAccelerator`."""
    if isinstance(config, AcceleratorConfig):
        return LinkedAccelerator(config, divisor, memory_bytes, script)
    return LinkedCore(config, divisor, script)
