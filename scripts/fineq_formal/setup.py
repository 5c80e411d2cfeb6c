"""What a proof is set up from: the block, free inputs, assumptions about them, and rules that must hold."""

from __future__ import annotations

from typing import TypeVar

from amaranth.hdl import Assert, Assume, ClockDomain, Instance, Module, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring

from fineq_hw.lib.hierarchy import VerilogComponent, flat_ports, place

_Component = TypeVar("_Component", bound=wiring.Component)

CLOCK, RESET = "clk", "rst"
"""Ports of the circuit besides the free inputs."""

ANY_CONSTANT = "$anyconst"
"""Yosys' cell for a value that is arbitrary and never changes."""


class Setup:
    """A circuit that holds what is proven, and the rules.

    A proof begins after a cycle of reset from any state: registers have what their reset gives them, whatever they
    held, and those without one, as all memories, have any contents (`fineq_formal.conversion`). Later resets are
    covered, the state before them is one of those, but for the engines of the bus: theirs is the reset at power-up,
    with `bus_rst` (`add_engine`). What they do for bursts of before a reset is shown by benches.

    Attributes:
        m: the circuit; blocks, reference models and conditions are added to it.
        inputs: free inputs, in the order of their making.
        rules: names of the rules, in the order in which they were given.
    """

    def __init__(self) -> None:
        self.m = Module()
        self.inputs: list[Signal] = []
        self.rules: list[str] = []
        self.m.domains.sync = self._sync = ClockDomain("sync")
        self._sync.clk.name, self._sync.rst.name = CLOCK, RESET

    @property
    def reset(self) -> Signal:
        """High in the one cycle before the proof begins."""
        return self._sync.rst

    @property
    def ports(self) -> list[Value]:
        """Of the whole circuit."""
        return [self._sync.clk, self._sync.rst, *self.inputs]

    def free(self, name: str, shape: ShapeLike = 1) -> Signal:
        """An input that can have any value in any cycle."""
        signal = Signal(shape, name=f"free_{name}")
        self.inputs.append(Value.cast(signal))  # type: ignore[arg-type]
        return signal

    def fixed(self, name: str, shape: ShapeLike = 1) -> Signal:
        """Any value, the same in all cycles."""
        signal = Signal(shape, name=f"fixed_{name}")
        bits = len(Value.cast(signal))
        self.m.submodules[f"any_{name}"] = Instance(ANY_CONSTANT, p_WIDTH=bits, o_Y=Value.cast(signal))
        return signal

    def add(self, name: str, component: _Component, *, driven: tuple[str, ...] = ()) -> _Component:
        """Add a block; inputs that the caller does not drive are free.

        Args:
            name: of the instance.
            component: the block.
            driven: inputs that the caller drives, by their names in Verilog.

        Raises:
            ValueError: there is no such input.
        """
        if isinstance(component, VerilogComponent):
            place(self.m, name, component)
        else:
            self.m.submodules[name] = component
        names = {port for port, flow, _ in flat_ports(component) if flow == wiring.In}
        if unknown := set(driven) - names:
            raise ValueError(f"{type(component).__name__} has no input {min(unknown)}: it has {', '.join(names)}")
        for port, flow, value in flat_ports(component):
            if flow == wiring.In and port not in driven:
                self.m.d.comb += value.eq(self.free(f"{name}_{port}", len(value)))
        return component

    def add_engine(self, name: str, component: _Component, *, driven: tuple[str, ...] = ()) -> _Component:
        """Add a block that remembers over its reset what the bus owes: here the bus is reset with it.

        Args:
            name: of the instance.
            component: the block, with an input `bus_rst`.
            driven: other inputs that the caller drives.
        """
        self.add(name, component, driven=("bus_rst", *driven))
        self.m.d.comb += component.bus_rst.eq(self.reset)
        return component

    def assume(self, condition: Value) -> None:
        """Inputs are such that this holds in every cycle."""
        self.m.d.comb += Assume(condition)

    def check(self, condition: Value, rule: str) -> None:
        """This must hold in every cycle. Conditions around it do not count.

        Args:
            condition: one bit.
            rule: what it says, for reports; names may repeat.
        """
        self.rules.append(rule)
        self.m.d.comb += Assert(condition, rule)

    def past(self, value: Value, name: str) -> Signal:
        """The value in the cycle before; 0 in the first one."""
        register = Signal(len(Value.cast(value)), name=f"past_{name}")
        self.m.d.sync += register.eq(value)
        return register

    def latched(self, condition: Value, name: str) -> Value:
        """Whether the condition holds, or held in some cycle since the reset."""
        register = Signal(name=f"since_{name}")
        self.m.d.sync += register.eq(register | condition)
        return register | condition


def streams_of(component: wiring.Component, flow: wiring.Flow) -> dict[str, stream.Interface]:
    """Streams of a block in one direction, by the names of their ports."""
    return {
        name: getattr(component, name)
        for name, member in component.signature.members.items()
        if member.is_signature and isinstance(member.signature, stream.Signature) and member.flow == flow
    }


def implies(condition: Value, then: Value) -> Value:
    """One bit: if the first holds, so does the second."""
    return ~Value.cast(condition).bool() | then
