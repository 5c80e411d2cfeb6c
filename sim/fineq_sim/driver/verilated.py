"""The verilated accelerator as a process of its own: cycle-accurate, no interpreter between the cycles.

    with VerilatedTransport("accelerator_5x7") as transport:
        machine = Accelerator(transport)

The process (harness.cpp) holds the whole top and its memory; requests go through a pipe.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fineq_hw.config import AcceleratorConfig, ArrayConfig
from fineq_hw.interface.bus import Response
from fineq_sim.driver.memory_timing import STALL_STEPS, TIMING_HEADER, MemoryTiming
from fineq_sim.driver.transport import DEFAULT_MEMORY, check_range, find_accelerator
from fineq_sim.runs.duts import accelerator_design
from fineq_sim.runs.simulators import SimulatorError
from fineq_sim.runs.verilated_program import build_program

CODE_FILES = ("harness.cpp",)

_HARNESS = Path(__file__).with_name(*CODE_FILES)


def build_harness(config: AcceleratorConfig, cache: Path | None = None) -> Path:
    """Compile an accelerator together with the harness, or find it compiled.

    Args:
        config: the accelerator.
        cache: directory of built simulations.

    Returns:
        The program.

    Raises:
        SimulatorError: Verilator or a program that it needs is missing, or the compilation failed.
    """
    design = accelerator_design(config, cache)
    name = f"{design.top}-{config.array.rows}x{config.array.columns}"
    return build_program(name, design, _HARNESS, cache, headers=[TIMING_HEADER])


def simulated(config: AcceleratorConfig, adder_tree: str | None = "behavioural") -> AcceleratorConfig:
    """The configuration as it is verilated; a MAC array has no adder tree to choose."""
    if adder_tree is None or not isinstance(config.array, ArrayConfig):
        return config
    return replace(config, array=replace(config.array, adder_tree=adder_tree))


class VerilatedTransport:
    """An accelerator as Verilator sees it, with a memory of one bus word a cycle in each direction.

    Args:
        config: name of an accelerator, or its parameters.
        memory_base, memory_size: of the simulated memory, bytes.
        adder_tree: `behavioural` for a simulation that builds and runs faster, None for what the configuration says.
        latency: cycles from the address of a burst to its first word.
        stall: chance, 0 to 1, that a channel of the memory port rests for a cycle.
        seed: of the stalls.
        cache: directory of built simulations.

    Raises:
        SimulatorError: Verilator is missing or the build failed; later: the simulation broke down.
        ValueError: unknown accelerator, impossible parameter.
    """

    cycle_accurate = True
    fault_responses: tuple[int, ...] = (Response.SLVERR.value, Response.DECERR.value)

    def __init__(
        self,
        config: str | AcceleratorConfig,
        *,
        memory_base: int = 0,
        memory_size: int = DEFAULT_MEMORY,
        adder_tree: str | None = "behavioural",
        latency: int = 1,
        stall: float = 0.0,
        seed: int = 1,
        cache: Path | None = None,
    ) -> None:
        config = simulated(find_accelerator(config), adder_tree)
        memory = MemoryTiming(latency=latency, stall=stall, seed=seed)
        self.config, self.memory_base, self.memory_size = config, memory_base, memory_size
        program = build_harness(config, cache)
        self._process = subprocess.Popen(
            [program, str(memory_base), str(memory_size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.set_memory(memory)

    def __enter__(self) -> VerilatedTransport:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read(self, size: int) -> bytes:
        content = self._answers.read(size)
        if len(content) != size:
            raise SimulatorError(f"the accelerator's simulation broke down with exit code {self._process.wait()}")
        return content

    def _ask(self, request: bytes, answer: str = "", content: bytes | memoryview = b"") -> tuple:
        """Send a request and read the answer, whose fields `answer` names as `struct` does."""
        try:
            self._requests.write(request)
            self._requests.write(content)
            self._requests.flush()
        except (BrokenPipeError, ValueError):
            pass  # what it has to say about that is in the answer
        if self._read(1) != b"\0":
            (size,) = struct.unpack("<I", self._read(4))
            raise SimulatorError(f"the accelerator's simulation stopped: {self._read(size).decode()}")
        return struct.unpack(f"<{answer}", self._read(struct.calcsize(f"<{answer}")))

    def write_memory(self, address: int, content: np.ndarray) -> None:
        check_range(self, address, len(content))
        self._ask(struct.pack("<cQQ", b"W", address, len(content)), content=np.ascontiguousarray(content).data)

    def read_memory(self, address: int, size: int) -> np.ndarray:
        check_range(self, address, size)
        self._ask(struct.pack("<cQQ", b"R", address, size))
        return np.frombuffer(bytearray(self._read(size)), dtype=np.uint8)

    def write_register(self, address: int, value: int) -> bool:
        (response,) = self._ask(struct.pack("<cII", b"w", address, value), "I")
        return response == 0

    def read_register(self, address: int) -> int | None:
        response, value = self._ask(struct.pack("<cI", b"r", address), "II")
        return None if response else value

    def read_registers(self, addresses: Sequence[int]) -> list[int | None]:
        """As `read_register` for each, asked for at once: far faster than one after another."""
        try:
            self._requests.write(b"".join(struct.pack("<cI", b"r", address) for address in addresses))
        except (BrokenPipeError, ValueError):
            pass  # as in `_ask`
        found = (self._ask(b"", "II") for _ in addresses)
        return [None if response else value for response, value in found]

    def wait(self, cycles: int) -> bool:
        _, interrupt = self._ask(struct.pack("<cQ", b"i", cycles), "QI")
        return bool(interrupt)

    def reset(self) -> None:
        self._ask(struct.pack("<cI", b"x", 4))

    def reset_bus(self) -> None:
        """Reset the machine and the memory port: the memory keeps its contents and forgets what it has under way."""
        self._ask(struct.pack("<cI", b"X", 4))

    def rest(self, stall: float) -> None:
        """Let each channel of the memory rest by this chance from the next cycle on; with 1 it falls silent."""
        self._ask(struct.pack("<cI", b"s", round(stall * STALL_STEPS)))

    def set_memory(self, memory: MemoryTiming) -> None:
        """Another memory from the next cycle on; only while nothing is under way."""
        numbers = memory.numbers(self.config.bus_bytes)
        self._ask(struct.pack(f"<c{len(numbers)}q", b"t", *numbers))

    def cycles(self) -> int:
        """Clock cycles since the start of the simulation."""
        return self._ask(b"c", "Q")[0]

    def fault(self, address: int, size: int, response: int) -> None:
        """Make the memory answer accesses to a range with an AXI response (2 SLVERR, 3 DECERR); size 0: never."""
        self._ask(struct.pack("<cQQI", b"f", address, size, response))

    def close(self) -> None:
        if self._process.poll() is None:
            self._requests.close()
            self._process.wait()
        self._answers.close()
