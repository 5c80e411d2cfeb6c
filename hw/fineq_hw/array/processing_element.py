"""Processing elements: stationary activations and selectors in place of multipliers (paper Fig. 5(c))."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from fineq_hw.array.encodings import Group, digits, name_part
from fineq_hw.cells.activation_storage import storage_suffix, store
from fineq_hw.cells.select_cells import apply_sign, select_n


class ProcessingElement(wiring.Component):
    """Keeps the activation x of one column, or the three of a cluster, and selects what the row adds.

    The outputs are the *complements* of the selected values: inverting gates are smaller, and full adders are
    self-dual (inverted inputs give inverted outputs), so the adder tree takes them as they are. With
    u = x + 2^(b-1), which is x with its sign bit inverted, and ~u = 2^b - 1 - u, all for b bits:

    * sign handling `row`: ~(x if `pulse` else 0); `negative` goes past the element to the accumulator.
    * one digit (`unary`, `bitplane`), sign handling `column`: the lines say what becomes of a bit of u that is one
      (`when_one`) and of one that is zero (`when_zero`): (0, 1) selects u, (1, 0) selects ~u, (1, 1) nothing.
    * two digits: y is ~u if `negative`, else u. `2s-unary` has one slot with y (`single`), 2y (`double`) or 0.
      `parallel` has a slot for y and one for 2y.
    * `cluster`: three columns with a slot each, which takes the column's own y or 2y of one of the others
      (`double_a_in_b`); see `ClusterEncoder`.

    Ports:
        activations, load: what to keep, taken at the clock edge when `load` is high; with storage `latch`, `load`
            is the row's gated clock.
        lines: select lines, `Group.lines_layout`.
        products_n: complements of the slots, `Group.products_layout`.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        bits = group.config.activation_bits
        super().__init__(
            {
                "activations": In(data.ArrayLayout(signed(bits), group.size)),
                "load": In(1),
                "lines": In(group.lines_layout),
                "products_n": Out(group.products_layout),
            }
        )

    @staticmethod
    def module_name(group: Group) -> str:
        config = group.config
        kind = f"{config.activation_bits}_{config.sign_handling}"
        if digits(config) != (0,):
            kind = f"{config.activation_bits}_{name_part(config)}"
        return f"fineq_processing_element_{kind}{storage_suffix(config)}"

    def elaborate(self, platform) -> Module:
        m = Module()
        group, config = self.group, self.group.config
        values = [
            store(m, config, self.activations[i], self.load, f"value_{i}").as_unsigned() for i in range(group.size)
        ]
        lines = self.lines
        if config.sign_handling == "row":
            slots_n = [_select_n(m, "select", len(values[0]), (values[0], lines.pulse, 0))]
        elif digits(config) == (0,):
            slots_n = [
                Cat(
                    # The sign bit is stored as it comes; exchanging its two lines inverts it for nothing.
                    *(Mux(bit, lines.when_one, lines.when_zero) for bit in values[0][:-1]),
                    Mux(values[0][-1], lines.when_zero, lines.when_one),
                )
            ]
        else:
            negatives = Value.cast(lines.negative)
            y = [apply_sign(m, f"sign_{i}", value, negatives[i]) for i, value in enumerate(values)]
            slots_n = [
                _select_n(m, f"select_{number}", slot.bits, *choices)
                for number, (slot, choices) in enumerate(zip(group.slots, self._choices(y), strict=True))
            ]
        for slot, slot_n in enumerate(slots_n):
            m.d.comb += self.products_n[f"slot_{slot}"].eq(slot_n)
        return m

    def _choices(self, y: list[list[Value]]) -> list[list[tuple[list[Value], Value, int]]]:
        """For each slot what it can take: value, select line and shift."""
        lines = self.lines
        match self.group.config.encoding:
            case "2s-unary":
                return [[(y[0], lines.single, 0), (y[0], lines.double, 1)]]
            case "parallel":
                return [[(y[0], lines.single, 0)], [(y[0], lines.double, 0)]]
        single = Value.cast(lines.single)
        return [
            [(y[slot], single[slot], 0)]
            + [(y[other], lines[f"double_{other}_in_{slot}"], 1) for other in range(len(y)) if other != slot]
            for slot in range(len(y))
        ]


def _select_n(m: Module, name: str, bits: int, *choices: tuple[Value | list[Value], Value, int]) -> Value:
    """Complement of the value whose line is high, shifted left by its shift; all ones if no line is."""
    result = []
    for index in range(bits):
        able = [(value[index - shift], line) for value, line, shift in choices if 0 <= index - shift < len(value)]
        result.append(select_n(m, f"{name}_{index}", *able))
    return Cat(result)
