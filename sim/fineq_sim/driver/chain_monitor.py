"""What a machine in a test is given to do, taken from its registers and its memory, for functional coverage.

The monitor believes nothing that the driver says: it reads the descriptors where the machine reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from fineq_hw.config import AcceleratorConfig
from fineq_hw.interface.descriptors import (
    DESCRIPTOR_BYTES,
    check_address,
    check_descriptor,
    decode_descriptor,
    region_bytes,
)
from fineq_hw.interface.error_codes import READ_FAULT, REGIONS, ErrorCode
from fineq_hw.interface.jobs import ActivationFunction, OutputFormat
from fineq_hw.interface.registers import REGISTERS, WORD_BYTES
from fineq_sim.bench.axi_memory import Memory
from fineq_sim.coverage import machine
from fineq_sim.coverage.array import array_kind, termination


@dataclass(frozen=True)
class Chain:
    """Descriptors as they lie in memory when a chain is started.

    Attributes:
        jobs: address and fields of each; the fields of one that is refused are empty.
        refused: code of the last one, or NONE.
        endless: the last one is followed by one of the others.
    """

    jobs: tuple[tuple[int, dict[str, int]], ...]
    refused: ErrorCode
    endless: bool

    @property
    def length(self) -> str:
        """Which of `machine.LENGTHS` it is."""
        longest = len(machine.LENGTHS) - 1
        return machine.LENGTHS[-1] if self.endless else machine.LENGTHS[min(len(self.jobs), longest) - 1]

    def region_at(self, address: int, config: AcceleratorConfig) -> str | None:
        """The region of memory that an address lies in."""
        for place, fields in self.jobs:
            starts = fields | {"descriptor": place}
            sizes = region_bytes(fields, config) if fields else {"descriptor": DESCRIPTOR_BYTES}
            for region in REGIONS:
                if region != "next" and region in sizes and 0 <= address - starts[region] < sizes[region]:
                    return region
        return None


def read_chain(memory: Memory, first: int, config: AcceleratorConfig, base: int, limit: int) -> Chain:
    """The chain that begins at an address, up to its end, its first illegal descriptor, or where it repeats itself."""
    jobs: dict[int, dict[str, int]] = {}
    address = first
    while address not in jobs:
        content = bytes(memory.bytes[address : address + DESCRIPTOR_BYTES])
        refusal = check_address(address, base, limit) or check_descriptor(content, address, config, base, limit)
        jobs[address] = {} if refusal else decode_descriptor(content)
        if refusal or jobs[address]["last"]:
            return Chain(tuple(jobs.items()), refusal.code if refusal else ErrorCode.NONE, False)
        address = jobs[address]["next"]
    return Chain(tuple(jobs.items()), ErrorCode.NONE, True)


class ChainMonitor:
    """Watches the register port of a machine, and samples what became of each chain.

    Args:
        config: of the machine.
        memory: behind its port.
        kind: of the memory.
        pausing: the memory's channels pause.
    """

    def __init__(self, config: AcceleratorConfig, memory: Memory, kind: str, pausing: bool) -> None:
        self.config, self.memory, self.kind, self.pausing = config, memory, kind, pausing
        self.forget()

    def forget(self) -> None:
        """After a reset of the machine."""
        self._chain: Chain | None = None
        self._last: Chain | None = None
        self._words: dict[int, int] = {}
        self._code = ErrorCode.NONE

    def _value(self, name: str) -> int:
        register = REGISTERS[name]
        words = (self._words.get(register.offset + WORD_BYTES * word, 0) for word in range(register.words))
        return sum(value << 32 * position for position, value in enumerate(words))

    def written(self, address: int, value: int) -> None:
        """A word that the register port has taken."""
        self._words[address] = value
        control = REGISTERS["CONTROL"]
        if address == control.offset and control.decode(value)["start"]:
            window = self._value("MEMORY_BASE"), self._value("MEMORY_LIMIT")
            self._chain = read_chain(self.memory, self._value("DESCRIPTOR"), self.config, *window)

    def read(self, address: int, value: int) -> None:
        """A word that the register port has given."""
        self._words[address] = value
        names = (name for name, each in REGISTERS.items() if 0 <= address - each.offset < WORD_BYTES * each.words)
        name = next(names, None)
        if name == "ACCESS_ERROR":
            code = REGISTERS[name].decode(value)["code"]
            if code:
                state = "busy" if self._chain else "idle"
                machine.ACCESS_ERRORS.sample(code=ErrorCode(code).name, machine=state)
        elif name == "STATUS" and self._chain:
            status = REGISTERS[name].decode(value)
            if status["done"] and not status["busy"]:
                self._done(self._chain)
        elif name == "ERROR" and self._chain:
            self._failed(self._chain, ErrorCode(REGISTERS[name].decode(value)["code"]))
        elif name == "ERROR_ADDRESS" and address == REGISTERS[name].offset + WORD_BYTES * (REGISTERS[name].words - 1):
            self._refused_by_memory(self._value(name))

    def _end(self, chain: Chain, ending: str) -> None:
        machine.CHAINS.sample(jobs=chain.length, ending=ending)
        self._chain, self._last = None, chain

    def _done(self, chain: Chain) -> None:
        self._end(chain, "done")
        for _, fields in chain.jobs:
            kinds = {
                "format": OutputFormat(fields["output_format"]).name,
                "termination": termination(bool(fields["early_termination"])),
            }
            sizes = machine.extents(fields, self.config)
            machine.JOBS.sample(function=ActivationFunction(fields["function"]).name, **kinds)
            machine.ARRAYS.sample(array=array_kind(self.config.array), **kinds)
            machine.SHAPES.sample(**sizes)
            pace = "pausing" if self.pausing else "steady"
            machine.WORK.sample(memory=pace, tiles=machine.tiles(sizes.values()), **kinds)
            machine.MEMORIES.sample(kind=self.kind, format=kinds["format"])

    def _failed(self, chain: Chain, code: ErrorCode) -> None:
        self._code = code
        if code == ErrorCode.NONE:
            return
        if code == ErrorCode.ABORTED:
            self._end(chain, "aborted")
        elif code == ErrorCode.MEMORY_TIMEOUT:
            self._end(chain, "memory silent")
        elif code >= READ_FAULT:
            self._end(chain, "bus error")
        else:
            assert code == chain.refused, f"{code.name} of a chain that is refused with {chain.refused.name}"
            place = "first" if len(chain.jobs) == 1 else "later"
            machine.REFUSALS.sample(code=code.name, descriptor=place)
            self._end(chain, "refused")

    def _refused_by_memory(self, address: int) -> None:
        if self._last and READ_FAULT <= self._code < ErrorCode.ABORTED:
            region = self._last.region_at(address, self.config)
            if region is not None:
                machine.BUS_ERRORS.sample(region=region, code=self._code.name)
            self._code = ErrorCode.NONE
