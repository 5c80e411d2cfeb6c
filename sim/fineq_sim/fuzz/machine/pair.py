"""Two machines side by side: every register by name, accesses that must answer alike, and the comparison at rest."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.registers import REGISTERS, WORD_BYTES
from fineq_sim.driver.functional import TIMELESS, FunctionalTransport
from fineq_sim.driver.memory_timing import MemoryTiming
from fineq_sim.driver.verilated import VerilatedTransport
from fineq_sim.fuzz.machine.jobs import MEMORY_BASE, MEMORY_BYTES

UNTIMED = tuple(
    name
    for name in REGISTERS
    if not (name.startswith("COUNTER_") and name.removeprefix("COUNTER_").lower() in TIMELESS)
)
"""Registers that follow from the work alone."""

WORK = ("CURRENT_DESCRIPTOR", "ERROR", "ERROR_ADDRESS", "JOBS_DONE", "TAG")
"""What a chain that was cut off leaves behind."""

PATIENCE = 3_000_000
"""Cycles after which a chain is taken to hang."""


class Difference(Exception):
    """The machines disagree, or one of them breaks a rule. The first argument is the kind, the second the details."""


def demand(condition: object, kind: str, details: object = "") -> None:
    if not condition:
        raise Difference(kind, str(details))


class Pair:
    """The model and the RTL.

    Args:
        config: name of the accelerator.
    """

    def __init__(self, config: str) -> None:
        self.rtl = VerilatedTransport(config, memory_base=MEMORY_BASE, memory_size=MEMORY_BYTES)
        self.model = FunctionalTransport(config, memory_base=MEMORY_BASE, memory_size=MEMORY_BYTES)

    @property
    def config(self) -> AcceleratorConfig:
        return self.model.config

    def close(self) -> None:
        self.rtl.close()

    # -- both ------------------------------------------------------------------------------------------------------

    def start_anew(self, memory: int, latency: int, stall: float) -> None:
        """Both as after power-up, with the same random memory and no errors."""
        self.rtl.reset_bus()
        self.rtl.set_memory(MemoryTiming(latency=latency, stall=stall, seed=memory + 1))
        self.model.reset()
        self.fault(0, 0, 0)
        content = np.random.default_rng(memory).integers(0, 256, MEMORY_BYTES, np.uint8)
        self.write_memory(MEMORY_BASE, content)

    def write_memory(self, address: int, content: np.ndarray) -> None:
        self.rtl.write_memory(address, content)
        self.model.write_memory(address, content)

    def fault(self, address: int, size: int, response: int) -> None:
        self.rtl.fault(address, size, response)
        self.model.fault(address, size, response)

    def write_register(self, address: int, value: int) -> None:
        answers = self.rtl.write_register(address, value), self.model.write_register(address, value)
        demand(answers[0] == answers[1], "write response", f"{address:#x} <- {value:#x}: {answers}")

    def read_register(self, address: int) -> None:
        register = next(
            (each for each in REGISTERS.values() if each.offset <= address < each.offset + 4 * each.words), None
        )
        answers = self.rtl.read_register(address), self.model.read_register(address)
        if register is not None and register.name not in UNTIMED:
            return
        demand(answers[0] == answers[1], "read", f"{address:#x}: {answers}")

    def set(self, name: str, value: int) -> None:
        """A register of one or two words."""
        register = REGISTERS[name]
        for word in range(register.words):
            self.write_register(register.offset + WORD_BYTES * word, value >> 32 * word & 0xFFFFFFFF)

    def command(self, **fields: int) -> None:
        self.set("CONTROL", REGISTERS["CONTROL"].encode(**fields))

    # -- the RTL ---------------------------------------------------------------------------------------------------

    def read(self, name: str) -> int:
        """A register of the RTL."""
        return self.read_all([name])[name]

    def read_all(self, names: Sequence[str]) -> dict[str, int]:
        """Registers of the RTL."""
        places = [(name, word) for name in names for word in range(REGISTERS[name].words)]
        words = self.rtl.read_registers([REGISTERS[name].offset + WORD_BYTES * word for name, word in places])
        found = dict.fromkeys(names, 0)
        for (name, position), word in zip(places, words, strict=True):
            demand(word is not None, "read response", name)
            found[name] |= (word or 0) << 32 * position
        return found

    def status(self) -> dict[str, int]:
        return REGISTERS["STATUS"].decode(self.read("STATUS"))

    def memory(self) -> np.ndarray:
        return self.rtl.read_memory(MEMORY_BASE, MEMORY_BYTES)

    def settle(self) -> None:
        """Wait until the memory has ended what was begun."""
        for _ in range(2000):
            if not self.status()["memory_pending"]:
                return
            self.rtl.read_register(0)  # a few cycles
        raise Difference("memory stays pending")

    # -- the model -------------------------------------------------------------------------------------------------

    def value(self, name: str) -> int:
        """A register of the model."""
        return self.model.values[name]

    def copy_of_model(self) -> FunctionalTransport:
        return copy.deepcopy(self.model)

    # -- comparison ------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Both are at rest: registers and memory are the same."""
        for name, found in self.read_all(UNTIMED).items():
            wanted = self.value(name)
            if name == "STATUS":
                found &= ~REGISTERS["STATUS"].field("memory_pending").mask
            demand(found == wanted, f"register {name}", f"RTL {found:#x}, model {wanted:#x}")
        wanted_memory = self.model.read_memory(MEMORY_BASE, MEMORY_BYTES)
        places = np.flatnonzero(self.memory() != wanted_memory)
        demand(not len(places), "memory", f"first at {MEMORY_BASE + int(places[0]):#x}" if len(places) else "")

    def adopt(self, *names: str) -> None:
        """Let the model go on from where the RTL is: memory, counters and these registers."""
        for name, value in self.read_all(names).items():
            if name == "STATUS":
                value &= ~REGISTERS["STATUS"].field("memory_pending").mask
            self.model.values[name] = value
        self.model.write_memory(MEMORY_BASE, self.memory())
        self.command(clear_counters=1)
