"""What a library cell is, by its pins and functions: nothing is concluded from its name."""

from __future__ import annotations

from itertools import permutations, product

from fineq_asic.errors import SynthesisError
from fineq_asic.library.liberty import Cell, Library


def repeated_input(cell: Cell) -> str | None:
    """The one input that the one output of a buffer repeats; None for all other cells."""
    return _only_input(cell, (0, 1))


def inverted_input(cell: Cell) -> str | None:
    """The one input whose complement the one output of an inverter is; None for all other cells."""
    return _only_input(cell, (1, 0))


def _only_input(cell: Cell, outputs: tuple[int, int]) -> str | None:
    function = cell.outputs[0].function if len(cell.outputs) == 1 else None
    if function is None or cell.register is not None or len(cell.inputs) != 1:
        return None
    pin = cell.inputs[0].name
    return pin if tuple(function.evaluate({pin: value}, 1) for value in (0, 1)) == outputs else None


def is_tie(cell: Cell) -> bool:
    """Whether a cell gives a constant."""
    return not cell.inputs and any(pin.function is not None for pin in cell.outputs)


def is_adder(cell: Cell) -> bool:
    """Whether the two outputs of a cell are sum and carry of its inputs."""
    functions = [pin.function for pin in cell.outputs if pin.function is not None]
    if cell.register is not None or len(functions) != 2:
        return False
    names = [pin.name for pin in cell.inputs]
    rows = [dict(zip(names, bits, strict=True)) for bits in product((0, 1), repeat=len(names))]
    return any(
        all(low.evaluate(row, 1) + 2 * high.evaluate(row, 1) == sum(row.values()) for row in rows)
        for low, high in permutations(functions)
    )


def clock_pin(cell: Cell) -> str:
    """The clock input of a clock gate.

    Raises:
        SynthesisError: the cell has not exactly one.
    """
    return _only(cell, [pin.name for pin in cell.inputs if pin.is_clock], "clock")


def enable_pin(cell: Cell) -> str:
    """The enable of a clock gate.

    Raises:
        SynthesisError: the cell has not exactly one.
    """
    return _only(cell, [pin.name for pin in cell.inputs if not pin.is_clock], "enable")


def _only(cell: Cell, pins: list[str], what: str) -> str:
    if len(pins) != 1:
        raise SynthesisError(f"{cell.name} has {len(pins)} {what} pins: a clock gate of the flow has one")
    return pins[0]


def carries_clock(cell: Cell, pin: str) -> bool:
    """Whether a clock at an input goes on at the output: buffers, inverters and clock gates."""
    return pin in (repeated_input(cell), inverted_input(cell)) or cell.clock_gate and pin == clock_pin(cell)


def sizes_of(cell: Cell, library: Library) -> list[Cell]:
    """Cells that differ from a cell in their size only, smallest first: same pins, functions and kind."""
    return sorted((each for each in library.cells.values() if _shape(each) == _shape(cell)), key=lambda each: each.area)


def _shape(cell: Cell) -> tuple:
    pins = [
        (pin.name, pin.direction, pin.is_clock, pin.function and pin.function.text)
        for _, pin in sorted(cell.pins.items())
    ]
    register = cell.register
    return pins, cell.clock_gate, register and (register.kind, register.clock.text, register.data.text)
