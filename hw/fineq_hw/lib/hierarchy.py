"""One Verilog module per distinct component, although Amaranth itself elaborates every instance anew.

Sixty-four rows are the same circuit. `place` therefore behaves in two ways: normally it adds the component
as a submodule, which is what Amaranth's simulator needs; inside `collecting(...)` it adds an instance of a
named module and remembers the component, so that the Verilog writer converts each module once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from amaranth.hdl import ClockSignal, Instance, Module, ResetInserter, ResetSignal, Value
from amaranth.lib import wiring

Modules = dict[str, wiring.Component]
"""Components by Verilog module name."""

_collected: ContextVar[Modules | None] = ContextVar("collected", default=None)


@contextmanager
def collecting(modules: Modules) -> Iterator[Modules]:
    """While active, `place` adds the components it is given to `modules` instead of elaborating them."""
    token = _collected.set(modules)
    try:
        yield modules
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


def place(
    m: Module,
    name: str,
    component: wiring.Component,
    module_name: str,
    *,
    clocked: bool = True,
    reset: Value | None = None,
) -> None:
    """Add `component` to `m` as `name`.

    Args:
        m: the parent.
        name: instance name.
        component: the child; its ports are wired by the caller as usual.
        module_name: Verilog module name. Equal names must mean equal circuits, so it carries the parameters.
        clocked: whether the component has registers, hence `clk` and `rst` ports in Verilog.
        reset: one bit that resets the component besides the reset of its parent.

    Raises:
        ValueError: as `check_namesakes`.
    """
    modules = _collected.get()
    if modules is None:
        m.submodules[name] = component if reset is None else ResetInserter(reset)(component)
        return
    check_namesakes(module_name, modules.setdefault(module_name, component).signature, component.signature)
    ports = {("i_" if flow == wiring.In else "o_") + port: value for port, flow, value in flat_ports(component)}
    if clocked:
        ports |= {"i_clk": ClockSignal(), "i_rst": ResetSignal() if reset is None else ResetSignal() | reset}
    m.submodules[name] = Instance(module_name, **ports)
