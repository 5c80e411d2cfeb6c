"""The rule of every stream: what is offered stays as it is until it is taken."""

from __future__ import annotations

from amaranth.hdl import Signal, Value
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out

from fineq_formal.setup import Setup, implies, streams_of


def stable(setup: Setup, valid: Value, ready: Value, payload: Value, name: str) -> Value:
    """Whether what was offered and not taken in the cycle before is still there, one bit.

    Args:
        setup: gets the registers.
        valid, ready, payload: of the stream.
        name: of the stream, for the registers.
    """
    waited = Signal(name=f"waited_{name}")
    setup.m.d.sync += waited.eq(valid & ~ready)
    return implies(waited, valid & (payload == setup.past(payload, name)))


def stable_stream(setup: Setup, found: stream.Interface, name: str) -> Value:
    """As `stable`."""
    return stable(setup, found.valid, found.ready, Value.cast(found.payload), name)


def check_streams(setup: Setup, component: Component) -> None:
    """What all streams out of a block must do, provided that those into it do the same."""
    for name, found in streams_of(component, In).items():
        setup.assume(stable_stream(setup, found, name))
    for name, found in streams_of(component, Out).items():
        setup.check(stable_stream(setup, found, name), f"{name}: what is offered stays until it is taken")
