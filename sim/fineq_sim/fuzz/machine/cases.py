"""Cases: a memory, its pace, and a sequence of steps. They are plain data, so that a case can be kept in a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fineq.common.files import write_text
from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_hw.interface.bus import Response
from fineq_hw.interface.registers import ADDRESS_BITS, REGISTERS
from fineq_sim.fuzz.machine.jobs import MEMORY_BASE, MEMORY_BYTES, Chain, random_chain

_STEPS = {"write": 6, "read": 2, "run": 10, "interrupt": 4, "silence": 2, "fault": 3}

_NOT_POKED = ("CONTROL", "INTERRUPT_ENABLE", "STATUS", "WATCHDOG")
"""Registers that decide how a run goes on, and flags that depend on how far it is: steps write them on purpose."""


@dataclass(frozen=True)
class Step:
    """One thing that is done to both machines.

    Attributes:
        kind: `write`, `read`: a register access while idle; `run`: a chain until its end; `interrupt`: a chain that is
            cut off; `silence`: a chain under which the memory falls silent; `fault`: memory that answers with an error.
        values: of a register access its address and value; of `fault` address, bytes and response.
        chain: descriptors.
        window: MEMORY_BASE and MEMORY_LIMIT for the chain; empty: as they are.
        cycles: after which the chain is cut off, or the memory silent.
        how: `abort`, `reset` (the machine alone) or `power` (machine and bus).
        watchdog: of the chain; 0: none.
        pokes: register writes while the chain runs.
    """

    kind: str
    values: tuple[int, ...] = ()
    chain: tuple[tuple[int, str], ...] = ()
    window: tuple[int, ...] = ()
    cycles: int = 0
    how: str = "abort"
    watchdog: int = 0
    pokes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Case:
    """A sequence of steps.

    Attributes:
        memory: seed of its contents.
        latency, stall: pace of the memory.
        steps: in their order.
    """

    memory: int
    latency: int
    stall: float
    steps: tuple[Step, ...] = field(default=())

    def write(self, file: Path) -> Path:
        return write_text(file, json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, file: Path) -> Case:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        steps = tuple(Step(**{name: _tuples(value) for name, value in step.items()}) for step in content.pop("steps"))
        return cls(**content, steps=steps)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def random_case(draw: Random, config: AcceleratorConfig) -> Case:
    """A case of two to eight steps."""
    kinds, weights = list(_STEPS), list(_STEPS.values())
    steps = tuple(_step(draw, config, kind) for kind in draw.choices(kinds, weights, k=draw.choice((2, 3, 4, 5, 6, 8))))
    return Case(draw.getrandbits(32), draw.choice((1, 1, 2, 7, 30)), draw.choice((0.0, 0.0, 0.2, 0.6)), steps)


def _step(draw: Random, config: AcceleratorConfig, kind: str) -> Step:
    if kind in ("write", "read"):
        return Step(kind, _access(draw))
    if kind == "fault":
        place = MEMORY_BASE + ALIGNMENT * draw.randrange(MEMORY_BYTES // ALIGNMENT)
        size = draw.choice((0, ALIGNMENT, 512, 4096))
        return Step(kind, (place, size, draw.choice((Response.SLVERR, Response.DECERR)).value))
    if kind == "run":
        chain = random_chain(draw, config)
        return Step(kind, chain=tuple(chain), window=_window(draw), watchdog=draw.choice((0, 0, 5000)))
    endless = draw.random() < 0.7
    chain = random_chain(draw, config, endless=endless, changes=False)
    cycles = draw.choice((0, 1, 2, 5, 20, 50, 100, 200, 400, 800)) + draw.randrange(40)
    whole = (MEMORY_BASE, MEMORY_BASE + MEMORY_BYTES - 1)
    if kind == "silence":
        return Step(kind, chain=_both(chain), window=whole, cycles=cycles, watchdog=draw.choice((0, 1, 40, 300)))
    how = draw.choice(("abort", "abort", "reset", "power"))
    pokes = tuple(_access(draw) for _ in range(draw.choice((0, 0, 1, 3)))) if endless else ()
    pokes = tuple((address, value) for address, value in pokes if not _decides(address))
    return Step(kind, chain=_both(chain), window=whole, cycles=cycles, how=how, pokes=pokes)


def _both(chain: Chain) -> tuple[tuple[int, str], ...]:
    return tuple(chain)


def _decides(address: int) -> bool:
    word = address % (1 << ADDRESS_BITS) & ~3
    return any(word == REGISTERS[name].offset for name in _NOT_POKED)


def _access(draw: Random) -> tuple[int, int]:
    """A register, or nearly one, and a value."""
    register = draw.choice(list(REGISTERS.values()))
    address = register.offset + 4 * draw.randrange(register.words)
    if draw.random() < 0.2:
        address = draw.choice((address + draw.randrange(4), draw.randrange(1 << ADDRESS_BITS), address ^ 4))
    value = draw.choice((draw.getrandbits(32), 0, 0xFFFFFFFF, 1 << draw.randrange(32), draw.randrange(64)))
    if address % (1 << ADDRESS_BITS) & ~3 == REGISTERS["CONTROL"].offset:
        value &= ~1  # a start is a step of its own
    return address % (1 << ADDRESS_BITS), value


def _window(draw: Random) -> tuple[int, ...]:
    first, last = MEMORY_BASE, MEMORY_BASE + MEMORY_BYTES - 1
    if draw.random() < 0.75:
        return first, last
    shift = draw.choice((-ALIGNMENT, -1, 1, ALIGNMENT, 1024))
    return draw.choice(((first + abs(shift), last), (first, last - abs(shift)), (last, first), (0, (1 << 40) - 1)))
