"""What the benches of both DMA engines share: monitors on the address and data channels, stops, bus errors."""

from __future__ import annotations

from typing import Any

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import Response
from fineq_hw.lib.axi import bus_error_layout
from fineq_sim.bench.axi_memory import AddressMonitor, ChannelMonitor, Memory
from fineq_sim.bench.bench import Bench
from fineq_sim.coverage.dma import RESPONSES


class DmaBench(Bench[AcceleratorConfig]):
    """A DMA engine beside a memory.

    Args:
        dut, stall, salt: see `Bench`.
        memory: what the engine reaches.
        channels: names of its address and of its data channel.
        fields: of the data channel, to be watched.

    Attributes:
        addresses, beats: monitors of the two channels, from `begin` on.
        was_reset: while the memory went on; `idle` then does not speak of the bursts of before.
    """

    inputs = ("stop", "bus_rst")

    def __init__(
        self, dut: Any, stall: float, salt: str, memory: Memory, channels: tuple[str, str], fields: tuple[str, ...]
    ) -> None:
        super().__init__(dut, stall, salt)
        self.memory = memory
        self._channels, self._fields = channels, fields
        self.was_reset = False

    async def begin(self) -> None:
        await super().begin()
        address, data = self._channels
        self.addresses = AddressMonitor(self.dut, address, self.config)
        self.beats = ChannelMonitor(self.dut, data, self._fields)
        assert self.read("idle")

    async def reset(self, cycles: int = 2) -> None:
        self.was_reset = not self.powering_up
        await super().reset(cycles)

    def cover(self, channel: str, response: int) -> None:
        """Count an answer that the engine has taken."""
        memory = "pausing" if self.stall else "steady"
        RESPONSES.sample(channel=channel, response=Response(response).name, memory=memory)

    def error(self) -> Any:
        """The bus error that the engine reports."""
        return bus_error_layout(self.config).from_bits(self.read("error"))

    async def wait_error(self, within: int = 6_000) -> Any:
        """Clock until the engine reports a bus error."""
        for _ in range(within):
            await self.clock()
            if self.error().valid:
                return self.error()
        raise AssertionError(f"no bus error within {within} cycles")

    def assert_bursts_complete(self) -> None:
        """Every burst on the bus has all its words."""
        assert self.addresses.offers == len(self.addresses.beats), "an address is still on offer"
        assert len(self.beats.beats) == sum(beats for _, beats in self.addresses.bursts()), "beats were left on the bus"

    async def restart(self) -> None:
        """Reset of the engine alone, with a memory that answers again."""
        self.memory.faults = set()
        await self.reset()
        assert self.read("idle") and not self.error().valid
