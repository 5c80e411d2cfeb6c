"""Gates of the processing elements that stand for one library cell each.

A logic optimiser sees the eight bits of an element, not that there are thousands of them, and spends inverters on
select lines that the lines' polarity was chosen to avoid. So these gates are modules of their own, as the adders are.
"""

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.wiring import In, Out

from fineq_hw.lib.hierarchy import CombinationalComponent, place, verilog_name
from fineq_hw.lib.role import CELL

Choice = tuple[Value | list[Value], Value, int]
"""What a slot can take: the bits of a value, the select line that asks for it, and how far it is shifted left."""


class Select(CombinationalComponent):
    """q_n = not (d0 s0 or d1 s1 or ...), for one, two or three pairs.

    Raises:
        ValueError: another number of pairs.
    """

    KIND = "select"
    ROLE = CELL

    def __init__(self, choices: int) -> None:
        if not 1 <= choices <= 3:
            raise ValueError(f"choices is {choices}: it must lie between 1 and 3")
        self.choices = choices
        super().__init__({f"{pin}{i}": In(1) for i in range(choices) for pin in "ds"} | {"q_n": Out(1)})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        return (self.choices,)

    def elaborate(self, platform) -> Module:
        m = Module()
        taken = [getattr(self, f"d{i}") & getattr(self, f"s{i}") for i in range(self.choices)]
        m.d.comb += self.q_n.eq(~_any(taken))
        return m


class ConditionalInverter(CombinationalComponent):
    """q = d, or not d if `invert`; with `negated` the other way round."""

    KIND = "conditional_inverter"
    ROLE = CELL

    def __init__(self, negated: bool = False) -> None:
        self.negated = negated
        super().__init__({"d": In(1), "invert": In(1), "q": Out(1)})

    @property
    def module_name(self) -> str:
        return verilog_name("xnor" if self.negated else "xor")

    def elaborate(self, platform) -> Module:
        m = Module()
        m.d.comb += self.q.eq(~(self.d ^ self.invert) if self.negated else self.d ^ self.invert)
        return m


def _any(bits: list[Value]) -> Value:
    result = bits[0]
    for bit in bits[1:]:
        result = result | bit
    return result


def select_n(m: Module, name: str, *choices: tuple[Value, Value]) -> Value:
    """Complement of the bit whose select line is high, of (bit, line) pairs; one if no line is."""
    cell = Select(len(choices))
    place(m, name, cell)
    for i, (bit, line) in enumerate(choices):
        m.d.comb += [getattr(cell, f"d{i}").eq(bit), getattr(cell, f"s{i}").eq(line)]
    return cell.q_n


def select_value_n(m: Module, name: str, bits: int, *choices: Choice) -> Value:
    """Complement of the value whose select line is high, in so many bits; all ones if no line is."""
    result = []
    for index in range(bits):
        able = [(value[index - shift], line) for value, line, shift in choices if 0 <= index - shift < len(value)]
        result.append(select_n(m, f"{name}_{index}", *able))
    return Cat(result)


def apply_sign(m: Module, name: str, value: Value, negative: Value) -> list[Value]:
    """Bits of `value` with its sign bit inverted, and all of them inverted if `negative`."""
    result = []
    for index, bit in enumerate(value):
        cell = ConditionalInverter(negated=index == len(value) - 1)
        place(m, f"{name}_{index}", cell)
        m.d.comb += [cell.d.eq(bit), cell.invert.eq(negative)]
        result.append(cell.q)
    return result
