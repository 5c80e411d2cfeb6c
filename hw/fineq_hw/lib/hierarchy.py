"""One Verilog module per distinct component, although Amaranth itself elaborates every instance anew.

Sixty-four rows are the same circuit. `place` therefore behaves in two ways: normally it adds the component
as a submodule, which is what Amaranth's simulator needs; inside `collecting(...)` it adds an instance of a
named module and remembers the component, so that the Verilog writer converts each module once.

A component that can be placed is a `VerilogComponent`: it says itself what its module is called and what it is to
synthesis and to the reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import ClassVar

from amaranth.hdl import ClockSignal, Instance, Module, ResetInserter, ResetSignal, Value
from amaranth.lib import wiring

from fineq_hw.config import name_part
from fineq_hw.lib.role import Role

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_identifier(name: str) -> None:
    """A module name must be a plain Verilog identifier.

    Raises:
        ValueError: it is not.
    """
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"{name!r} is no Verilog identifier: module names consist of letters, digits and underscores")


def verilog_name(kind: str, *parameters: object) -> str:
    """Name of the module of a kind of component with these parameters: the one way from a configuration to a name.

    Raises:
        ValueError: what comes out is no Verilog identifier.
    """
    name = name_part("_".join(["fineq", kind, *(str(part) for part in parameters)]))
    check_identifier(name)
    return name


def check_declared(component: wiring.Component) -> None:
    """A component that others hold must say what it is called and what it is.

    Raises:
        ValueError: it is no `VerilogComponent`, or one without KIND or ROLE.
    """
    name = type(component).__name__
    if not isinstance(component, VerilogComponent):
        raise ValueError(f"{name} does not say what its module is called: make it a VerilogComponent")
    for fact in ("KIND", "ROLE"):
        if not hasattr(component, fact):
            raise ValueError(f"{name} does not say what it is: a VerilogComponent declares its {fact}")


class VerilogComponent(wiring.Component):
    """A component that becomes a Verilog module of its own.

    Attributes:
        KIND: what it is called in names and reports, without parameters.
        ROLE: what it is to synthesis and to the reports.
        clocked: it has registers, hence `clk` and `rst` ports in Verilog.
    """

    KIND: ClassVar[str]
    ROLE: ClassVar[Role]
    VERILOG: ClassVar[str | None] = None
    """Verilog that stands for what `elaborate` gives, where Amaranth cannot describe the circuit."""

    @property
    def clocked(self) -> bool:
        return True

    @property
    def module_parameters(self) -> tuple[object, ...]:
        """What tells the circuit from others of its kind; equal names must mean equal circuits."""
        return ()

    @property
    def module_name(self) -> str:
        """Name of the Verilog module."""
        return verilog_name(self.KIND, *self.module_parameters)


class CombinationalComponent(VerilogComponent):
    """A `VerilogComponent` without registers."""

    @property
    def clocked(self) -> bool:
        return False


@dataclass
class Placed:
    """What `place` has seen while a component was elaborated.

    Attributes:
        modules: components by Verilog module name; of equal ones the first.
        instances: module name by instance name, in the order of the calls.
    """

    modules: dict[str, VerilogComponent] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)


_collected: ContextVar[Placed | None] = ContextVar("collected", default=None)


@contextmanager
def collecting(placed: Placed) -> Iterator[Placed]:
    """While active, `place` adds the components it is given to `placed` instead of elaborating them."""
    token = _collected.set(placed)
    try:
        yield placed
    finally:
        _collected.reset(token)


def flat_ports(component: wiring.Component) -> list[tuple[str, wiring.Flow, Value]]:
    """Ports of a component as they appear in Verilog: (name, direction, value), nested names joined by `__`."""
    return [
        ("__".join(map(str, path)), member.flow, Value.cast(value))
        for path, member, value in component.signature.flatten(component)
    ]


def check_namesakes(name: str, first: wiring.Signature, second: wiring.Signature) -> None:
    """Components that share a module name must be equal circuits; at least their ports are compared.

    Raises:
        ValueError: the ports differ.
    """
    if first != second:
        raise ValueError(f"two components with different ports are called {name}: the name lacks a parameter")


def place(m: Module, name: str, component: VerilogComponent, *, reset: Value | None = None) -> None:
    """Add `component` to `m` as `name`.

    Args:
        m: the parent.
        name: instance name.
        component: the child; its ports are wired by the caller as usual.
        reset: one bit that resets the component besides the reset of its parent.

    Raises:
        ValueError: as `check_declared`, `check_namesakes`, `check_identifier`.
    """
    placed = _collected.get()
    if placed is None:
        m.submodules[name] = component if reset is None else ResetInserter(reset)(component)
        return
    check_declared(component)
    module = component.module_name
    check_identifier(module)
    check_namesakes(module, placed.modules.setdefault(module, component).signature, component.signature)
    placed.instances[name] = module
    ports = {("i_" if flow == wiring.In else "o_") + port: value for port, flow, value in flat_ports(component)}
    if component.clocked:
        ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal() if reset is None else ResetSignal() | reset}
    m.submodules[name] = Instance(module, src_loc_at=1, **ports)
