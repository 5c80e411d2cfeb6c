"""And-inverter graphs with registers in the binary format of AIGER, read to be added to.

A literal is twice the number of a node, plus one if it is inverted; node 0 is constant 0. Inputs come first, then
registers, then gates, each after what it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Graph:
    """A circuit.

    Attributes:
        inputs: how many.
        registers: what each takes next, and what it begins with.
        outputs: literals.
        gates: the two literals of each.
        names: of outputs, and which they are; two names may be of one.
    """

    inputs: int
    registers: list[tuple[int, str]]
    outputs: list[int]
    gates: list[tuple[int, int]] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def conjunction(self, one: int, other: int) -> int:
        """The literal of a new gate."""
        self.gates.append((max(one, other), min(one, other)))
        return 2 * (self.inputs + len(self.registers) + len(self.gates))

    def numbered_gates(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """Gates with their literals."""
        first = 1 + self.inputs + len(self.registers)
        for number, gate in enumerate(self.gates, first):
            yield 2 * number, gate

    def depending(self, literals: Iterable[int]) -> set[int]:
        """Nodes, as literals that are not inverted, that take something from others, without registers between."""
        found = {literal & ~1 for literal in literals}
        for node, (one, other) in self.numbered_gates():
            if one & ~1 in found or other & ~1 in found:
                found.add(node)
        return found

    def write(self, file: Path) -> None:
        """Write it; AIGER's sections of names and comments are left out."""
        first = 1 + self.inputs + len(self.registers)
        head = f"aig {first + len(self.gates) - 1} {self.inputs} {len(self.registers)} {len(self.outputs)}"
        lines = [f"{head} {len(self.gates)}"]
        lines += [f"{literal} {begin}".rstrip() for literal, begin in self.registers]
        lines += map(str, self.outputs)
        content = bytearray("\n".join(lines).encode() + b"\n")
        for number, (one, other) in enumerate(self.gates, first):
            for delta in (2 * number - one, one - other):
                while delta > 127:
                    content.append(delta & 127 | 128)
                    delta >>= 7
                content.append(delta)
        file.write_bytes(content)


def read(file: Path) -> Graph:
    """Read a circuit without constraints, as Yosys and ABC write it.

    Raises:
        ValueError: it is none.
    """
    content = file.read_bytes()
    at = 0

    def line() -> list[str]:
        nonlocal at
        end = content.index(b"\n", at)
        words = content[at:end].decode().split()
        at = end + 1
        return words

    kind, _, *numbers = line()
    inputs, registers, outputs, gates = map(int, numbers[:4])
    if kind != "aig" or any(map(int, numbers[4:])):
        raise ValueError(f"{file} is no circuit in binary AIGER without constraints")
    taken = [line() for _ in range(registers)]
    registers_taken = [(int(words[0]), "".join(words[1:])) for words in taken]
    graph = Graph(inputs, registers_taken, [int(line()[0]) for _ in range(outputs)])

    def delta() -> int:
        nonlocal at
        value = shift = 0
        while content[at] > 127:
            value |= (content[at] & 127) << shift
            at, shift = at + 1, shift + 7
        value |= content[at] << shift
        at += 1
        return value

    for number in range(1 + inputs + registers, 1 + inputs + registers + gates):
        one = 2 * number - delta()
        graph.gates.append((one, one - delta()))
    while at < len(content) and content[at : at + 1] != b"c":
        place, *names = line()
        if place.startswith("o"):
            graph.names |= dict.fromkeys(names, int(place[1:]))
    return graph
