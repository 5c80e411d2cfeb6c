"""The register port of a machine in a bench: a master on AXI4-Lite, and what the registers send to the machine."""

from __future__ import annotations

from collections import Counter as Tally
from typing import Any

from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.registers import REGISTERS, WORD_BYTES, Access, Register
from fineq_hw.lib.axi import SLAVE_PREFIX
from fineq_sim.bench.axi_memory import pauses
from fineq_sim.bench.bench import Bench


class RegisterBench(Bench[AcceleratorConfig]):
    """The registers, a bus master, and a record of what happens at the ports towards the machine."""

    inputs = (
        "busy",
        "memory_pending",
        "job_done",
        "job_tag",
        "job_interrupt",
        "chain_done",
        "fault_valid",
        "fault",
        "current_descriptor",
        "events",
    )

    def __init__(self, dut: Any, stall: float = 0.0) -> None:
        super().__init__(dut, stall)
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, SLAVE_PREFIX), dut.clk, dut.rst)
        self.pulses: Tally[str] = Tally()

    async def begin(self) -> None:
        await super().begin()
        self.every_cycle(self._watch)
        if self.stall:
            write, read = self.master.write_if, self.master.read_if
            channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
            for number, channel in enumerate(channels):
                channel.set_pause_generator(pauses(f"{number} {self.stall}", self.stall))

    def _watch(self) -> None:
        for name in ("start", "soft_reset"):
            self.pulses[name] += self.read(name)

    async def read_word(self, address: int, expected: AxiResp = AxiResp.OKAY) -> int:
        answer = await self.master.read(address, WORD_BYTES)
        assert answer.resp == expected, f"reading {address:#05x} was answered with {answer.resp.name}"
        return int.from_bytes(answer.data, "little")

    async def write_word(self, address: int, value: int, expected: AxiResp = AxiResp.OKAY) -> None:
        answer = await self.master.write(address, value.to_bytes(WORD_BYTES, "little"))
        assert answer.resp == expected, f"writing {address:#05x} was answered with {answer.resp.name}"

    async def read_register(self, name: str) -> int:
        register = REGISTERS[name]
        words = [await self.read_word(register.offset + WORD_BYTES * number) for number in range(register.words)]
        return sum(word << 32 * number for number, word in enumerate(words))

    async def write_register(self, name: str, value: int, expected: AxiResp = AxiResp.OKAY) -> None:
        register = REGISTERS[name]
        for number in range(register.words):
            word = value >> 32 * number & 0xFFFFFFFF
            await self.write_word(register.offset + WORD_BYTES * number, word, expected)

    async def fields(self, name: str) -> dict[str, int]:
        return REGISTERS[name].decode(await self.read_register(name))

    async def status(self, **expected: int) -> None:
        """These flags of STATUS and no other."""
        got = await self.fields("STATUS")
        assert {flag for flag, value in got.items() if value} == set(expected), f"STATUS is {got}"

    def kept_bits(self, register: Register) -> int:
        """Bits of a register that keep what is written."""
        kept = sum(field.mask for field in register.fields if field.access is Access.RW)
        return kept & ((1 << self.config.address_bits) - 1) if register.locked else kept
