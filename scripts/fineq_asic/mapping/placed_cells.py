"""Components of the RTL that stand for one library cell each (`Synthesis.CELL`), and the Verilog that places it.

What a component is called and which ports it has comes from the component, so that a component that was renamed is
still found, and one that says `Synthesis.CELL` without a cell in `PLACED_CELLS` is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from amaranth.hdl import Fragment

from fineq_asic.errors import SynthesisError
from fineq_asic.library.chosen_cells import CLOCK_GATE
from fineq_asic.library.liberty import Library
from fineq_hw.cells.activation_storage import ClockGate, Latch
from fineq_hw.cells.adder_cells import FullAdder, HalfAdder
from fineq_hw.cells.select_cells import ConditionalInverter, Select
from fineq_hw.export.conversion import describe
from fineq_hw.export.manifest import Manifest
from fineq_hw.lib.hierarchy import VerilogComponent
from fineq_hw.lib.role import Synthesis

CELL_INSTANCE = "cell_"
"""Name of the cell inside the module that it stands for."""


@dataclass(frozen=True)
class PlacedCell:
    """A component and its cell.

    Attributes:
        make: makes the component of the RTL.
        cell: of the library.
        pins: pin of the cell by port of the component.
    """

    make: Callable[[], VerilogComponent]
    cell: str
    pins: dict[str, str]

    @property
    def module(self) -> str:
        """Name of the component's module."""
        return self._names[0]

    @property
    def _header(self) -> str:
        module, ports = self._names
        return f"module {module}({', '.join(ports)});"

    @property
    def _names(self) -> tuple[str, tuple[str, ...]]:
        """Name of the module, and its ports with their directions."""
        component = self.make()
        Fragment.get(component, None)  # else Amaranth warns that it was made for nothing
        ports = tuple(f"{port.direction} {port.name}" for port in describe(component, {}).ports)
        return component.module_name, ports

    def verilog(self) -> str:
        """A module of the component's name and ports with the cell inside."""
        pins = ", ".join(f".{pin}({port})" for port, pin in self.pins.items())
        return f"{self._header}\n  {self.cell} {CELL_INSTANCE} ({pins});\nendmodule\n"

    def black_box(self) -> str:
        """A module of the component's name and ports with nothing inside."""
        return f"(* blackbox *) {self._header} endmodule\n"


FULL_ADDER = PlacedCell(FullAdder, "FA_X1", {"a": "A", "b": "B", "c": "CI", "sum": "S", "carry": "CO"})
HALF_ADDER = PlacedCell(HalfAdder, "HA_X1", {"a": "A", "b": "B", "sum": "S", "carry": "CO"})
LATCH = PlacedCell(Latch, "DLH_X1", {"enable": "G", "d": "D", "q": "Q"})
GATED_CLOCK = PlacedCell(ClockGate, CLOCK_GATE, {"clk": "CK", "enable": "E", "gated_clk": "GCK"})
PLACED_CELLS = (
    FULL_ADDER,
    HALF_ADDER,
    LATCH,
    GATED_CLOCK,
    PlacedCell(lambda: Select(1), "NAND2_X1", {"d0": "A1", "s0": "A2", "q_n": "ZN"}),
    PlacedCell(lambda: Select(2), "AOI22_X1", {"d0": "A1", "s0": "A2", "d1": "B1", "s1": "B2", "q_n": "ZN"}),
    PlacedCell(
        lambda: Select(3),
        "AOI222_X1",
        {"d0": "A1", "s0": "A2", "d1": "B1", "s1": "B2", "d2": "C1", "s2": "C2", "q_n": "ZN"},
    ),
    PlacedCell(ConditionalInverter, "XOR2_X1", {"d": "A", "invert": "B", "q": "Z"}),
    PlacedCell(lambda: ConditionalInverter(negated=True), "XNOR2_X1", {"d": "A", "invert": "B", "q": "ZN"}),
)


def placed_modules() -> set[str]:
    """Names of the modules of all `PLACED_CELLS`."""
    return {placed.module for placed in PLACED_CELLS}


def check_placed(manifest: Manifest, modules: Iterable[str]) -> None:
    """Every component that stands for a cell must have one.

    Raises:
        SynthesisError: names the first that has none.
    """
    for name in modules:
        entry = manifest.modules.get(name)
        if entry is not None and entry.synthesis == Synthesis.CELL and name not in placed_modules():
            raise SynthesisError(
                f"{entry.component} stands for one library cell, but none is known for its module {name}: add it to "
                "PLACED_CELLS"
            )


def cell_map(library: Library) -> str:
    """Verilog of all `PLACED_CELLS`.

    Raises:
        SynthesisError: the library lacks a cell, or a cell has other pins.
    """
    for placed in PLACED_CELLS:
        unknown = sorted(set(placed.pins.values()) - library.cell(placed.cell).pins.keys())
        if unknown:
            raise SynthesisError(f"{placed.cell} of the library {library.name} has no pin {unknown[0]}")
    return "".join(placed.verilog() for placed in PLACED_CELLS)
