"""The accelerator inside a cocotb test: the driver runs in a thread, its accesses in the simulation.

    @cocotb.test()
    async def test(dut):
        transport = CocotbTransport(dut, config)
        await transport.start()
        await bridge(lambda: use(Accelerator(transport)))()

`bridge` is cocotb's: it runs plain code in a thread, whose calls into the transport the simulation carries out.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import numpy as np
from cocotb.task import resume
from cocotb.triggers import ClockCycles, First, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.bus import Response
from fineq_hw.lib.axi import SLAVE_PREFIX
from fineq_sim.bench.axi_memory import Memory
from fineq_sim.bench.power_up import check_outputs, fill_memories
from fineq_sim.bench.shared_port import attach_memory
from fineq_sim.bench.testbench import reset, start_clock
from fineq_sim.driver.chain_monitor import ChainMonitor
from fineq_sim.driver.transport import check_range


class CocotbTransport:
    """An accelerator as a cocotb test sees it, with cocotbext-axi on both of its buses.

    Args:
        dut: the accelerator, with the ports `s_axil_*`, `m_axi_*` and `irq`.
        config: its configuration.
        memory_size: bytes of the memory, which begins at address 0.
        stall: share of the cycles in which each channel of the memory pauses.
        kind: of the memory, one of `fineq_sim.bench.shared_port.KINDS`.
    """

    cycle_accurate = True
    fault_responses: tuple[int, ...] = (Response.SLVERR.value, Response.DECERR.value)

    def __init__(
        self,
        dut,
        config: AcceleratorConfig,
        *,
        memory_size: int = 1 << 20,
        stall: float = 0.0,
        kind: str = "two-ports",
    ) -> None:
        self.dut, self.config = dut, config
        self.memory_base, self.memory_size = 0, memory_size
        self._memory, self._stall, self._kind = Memory(memory_size, "driver"), stall, kind
        self._monitor = ChainMonitor(config, self._memory, kind, stall > 0)
        # Called in the driver's thread; carried out by the simulation.
        self._write_word = resume(self._write_word_in_simulation)
        self._read_word = resume(self._read_word_in_simulation)
        self.wait = resume(self._wait)
        self.reset = resume(self._reset)

    async def start(self) -> None:
        """Clock, reset, and the models on the buses."""
        for name in ("s_axil", "m_axi"):
            logging.getLogger(f"cocotb.{self.dut._name}.{name}").setLevel("WARNING")
        await fill_memories(self.dut)
        start_clock(self.dut)
        # The model looks at its handshakes from the end of the reset at power-up on: before it they may be unknown.
        self._registers = AxiLiteMaster(AxiLiteBus.from_prefix(self.dut, SLAVE_PREFIX), self.dut.clk, self.dut.bus_rst)
        self._slaves = attach_memory(self.dut, self._memory, self._kind, stall=self._stall)
        await reset(self.dut, bus=True)
        check_outputs(self.dut)

    async def _reset(self) -> None:
        self._monitor.forget()
        await reset(self.dut, 4)

    def write_memory(self, address: int, content: np.ndarray) -> None:
        check_range(self, address, len(content))
        self._memory.bytes[address : address + len(content)] = np.ascontiguousarray(content).tobytes()

    def read_memory(self, address: int, size: int) -> np.ndarray:
        check_range(self, address, size)
        return np.frombuffer(self._memory.bytes[address : address + size], dtype=np.uint8)

    def write_register(self, address: int, value: int) -> bool:
        return self._write_word(address, value)

    async def _write_word_in_simulation(self, address: int, value: int) -> bool:
        answer = await self._registers.write(address, value.to_bytes(4, "little"))
        if answer.resp == AxiResp.OKAY:
            self._monitor.written(address, value)
        return answer.resp == AxiResp.OKAY

    def read_register(self, address: int) -> int | None:
        return self._read_word(address)

    async def _read_word_in_simulation(self, address: int) -> int | None:
        answer = await self._registers.read(address, 4)
        if answer.resp != AxiResp.OKAY:
            return None
        value = int.from_bytes(answer.data, "little")
        self._monitor.read(address, value)
        return value

    async def _wait(self, cycles: int) -> bool:
        if not self.dut.irq.value:
            await First(RisingEdge(self.dut.irq), ClockCycles(self.dut.clk, cycles))
        return bool(self.dut.irq.value)

    def fault(self, address: int, size: int, response: int) -> None:
        """Make the memory answer accesses to a range with SLVERR or DECERR; size 0: never."""
        self._memory.faults = set(range(address, address + size))
        self._memory.answer = Response(response) if size else Response.SLVERR

    def silence(self, channels: Collection[str]) -> None:
        """Make these channels of the memory (ar, r, aw, w, b) stop; all others go on. For memories without pauses."""
        for slave in self._slaves:
            for name in ("ar", "r", "aw", "w", "b"):
                channel = getattr(slave, f"{name}_channel", None)
                if channel is not None:
                    channel.pause = name in channels

    def close(self) -> None:
        """The simulation ends with its test."""
