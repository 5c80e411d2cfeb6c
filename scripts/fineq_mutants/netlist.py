"""A module as Yosys writes it in JSON, and the few changes that mutants need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

Bit = int | str
"""A net by its number, or a constant: "0", "1", "x"."""

SELECT_BITS = 16
"""Width of the number that says which mutant lives."""

SELECT_MODULE = "fineq_mutant_select"
"""Module that reads that number when the simulation begins."""

SELECT_FILE = "mutant.txt"
"""File with that number, in the directory where the simulation runs; without it no mutant lives."""

SELECT_VERILOG = f"""\
module {SELECT_MODULE}(output reg [{SELECT_BITS - 1}:0] select);
  integer file, count;
  initial begin
    select = 0;
    file = $fopen("{SELECT_FILE}", "r");
    if (file != 0) begin
      count = $fscanf(file, "%d", select);
      $fclose(file);
    end
  end
endmodule
"""


def constant(value: int, width: int) -> list[Bit]:
    """Bits of a number, lowest first; it wraps."""
    return ["1" if value >> bit & 1 else "0" for bit in range(width)]


def value_of(bits: Sequence[Bit]) -> int:
    """The number that constant bits are; unknown ones count as zero."""
    return sum(1 << place for place, bit in enumerate(bits) if bit == "1")


class Netlist:
    """One module, changed in place.

    Args:
        module: entry of `modules` in Yosys' JSON.

    Attributes:
        cells: by name, as in the JSON.
    """

    def __init__(self, module: dict[str, Any]) -> None:
        self.module = module
        self.cells: dict[str, dict[str, Any]] = module["cells"]
        numbers = [bit for bits in self._bit_lists() for bit in bits if isinstance(bit, int)]
        self._next_bit = max(numbers, default=1) + 1
        self._next_cell = 0

    def _bit_lists(self) -> Iterator[Sequence[Bit]]:
        for cell in self.cells.values():
            yield from cell["connections"].values()
        for part in ("ports", "netnames"):
            for entry in self.module[part].values():
                yield entry["bits"]

    def fresh(self, width: int) -> list[Bit]:
        """New nets."""
        bits: list[Bit] = list(range(self._next_bit, self._next_bit + width))
        self._next_bit += width
        return bits

    def add_cell(self, kind: str, parameters: dict[str, int], inputs: dict[str, Any], outputs: dict[str, Any]) -> str:
        """A new cell; returns its name."""
        name = f"$mutant${self._next_cell}"
        self._next_cell += 1
        self.cells[name] = {
            "hide_name": 1,
            "type": kind,
            "parameters": {key: f"{value:032b}" for key, value in parameters.items()},
            "attributes": {},
            "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
            "connections": inputs | outputs,
        }
        return name

    def mux(self, zero: Sequence[Bit], one: Sequence[Bit], select: Bit) -> list[Bit]:
        """`select ? one : zero`."""
        result = self.fresh(len(zero))
        self.add_cell("$mux", {"WIDTH": len(zero)}, {"A": [*zero], "B": [*one], "S": [select]}, {"Y": result})
        return result

    def gate(self, kind: str, *operands: Bit) -> Bit:
        """`$and`, `$or`, `$xor` or `$not` of single bits."""
        names = dict(zip("AB", ([bit] for bit in operands), strict=False))
        widths = {f"{name}_{what}": number for name in names for what, number in (("WIDTH", 1), ("SIGNED", 0))}
        (result,) = self.fresh(1)
        self.add_cell(kind, widths | {"Y_WIDTH": 1}, names, {"Y": [result]})
        return result

    def is_number(self, word: Sequence[Bit], number: int) -> Bit:
        """High while a word has a value."""
        (result,) = self.fresh(1)
        width = len(word)
        widths = {"A_SIGNED": 0, "A_WIDTH": width, "B_SIGNED": 0, "B_WIDTH": width, "Y_WIDTH": 1}
        self.add_cell("$eq", widths, {"A": [*word], "B": constant(number, width)}, {"Y": [result]})
        return result

    def take_over(self, cell: str, port: str) -> tuple[list[Bit], list[Bit]]:
        """Cut an output from what it drives: returns what the cell drives now, and the nets that wait for a driver."""
        connections = self.cells[cell]["connections"]
        driven = connections[port]
        connections[port] = self.fresh(len(driven))
        self._move_initial_values(driven, connections[port])
        return connections[port], driven

    def _move_initial_values(self, before: Sequence[Bit], after: Sequence[Bit]) -> None:
        """What a register holds at the beginning stands at the name of its output."""
        taken: dict[Bit, str] = {}
        for entry in self.module["netnames"].values():
            if init := entry["attributes"].get("init"):
                values = dict(zip(entry["bits"], reversed(init), strict=False))
                taken |= {bit: values[bit] for bit in before if values.get(bit, "x") != "x"}
                left = ["x" if bit in before else value for bit, value in values.items()]
                entry["attributes"]["init"] = "".join(reversed(left))
                if set(left) == {"x"}:
                    del entry["attributes"]["init"]
        if taken:
            init = "".join(reversed([taken.get(bit, "x") for bit in before]))
            name = {"hide_name": 1, "bits": [*after], "attributes": {"init": init}}
            self.module["netnames"][f"$mutant$net{after[0]}"] = name

    def drive(self, nets: Sequence[Bit], source: Sequence[Bit]) -> None:
        """Let nets without a driver follow a word."""
        width = len(nets)
        widths = {"A_SIGNED": 0, "A_WIDTH": width, "Y_WIDTH": width}
        self.add_cell("$pos", widths, {"A": [*source]}, {"Y": [*nets]})

    def add_select(self) -> list[Bit]:
        """The number of the mutant that lives, from `SELECT_MODULE`."""
        bits = self.fresh(SELECT_BITS)
        self.add_cell(SELECT_MODULE, {}, {}, {"select": bits})
        return bits

    def replace_port(self, name: str, bits: Sequence[Bit]) -> None:
        """Let an output show other nets; those that it has shown keep what is said of them."""
        names = self.module["netnames"]
        if name in names:
            names[f"$mutant$was${name}"] = names[name]
        names[name] = {"hide_name": 0, "bits": [*bits], "attributes": {}}
        self.module["ports"][name]["bits"] = [*bits]

    def port_bits(self, name: str) -> list[Bit]:
        """Nets of a port of the module; none if there is no such port."""
        return self.module["ports"].get(name, {"bits": []})["bits"]
