"""Nothing keeps state over a reset: twins that were different before behave alike afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from amaranth.hdl import Const, Value
from amaranth.lib.wiring import Component, In, Out

from fineq_formal.checkers.streams import stable_stream
from fineq_formal.setup import Setup, implies, streams_of
from fineq_hw.lib.hierarchy import flat_ports


def check_twins(
    setup: Setup, make: Callable[[], Component], data: bool = True, bus: Mapping[str, str] | None = None
) -> Component:
    """Two of a block with the same inputs, whose registers held anything before the reset, give the same outputs.

    Args:
        setup: gets both and the rules.
        make: the block.
        data: compare payloads of streams too, while they are valid; else only valid and ready.
        bus: for an engine of the bus, which is reset with it here (`Setup.add_engine`): the outputs that say nothing
            but while another one, their `valid`, is high.

    Returns:
        The first of the two, whose inputs are free, for further assumptions.
    """
    first = (setup.add if bus is None else setup.add_engine)("twin_0", make())
    second = make()
    inputs = [port for port, flow, _ in flat_ports(second) if flow != Out]
    setup.add("twin_1", second, driven=tuple(inputs))
    ports = [{name: (flow, value) for name, flow, value in flat_ports(twin)} for twin in (first, second)]
    setup.m.d.comb += [ports[1][name][1].eq(ports[0][name][1]) for name in inputs]
    outputs = [streams_of(twin, Out) for twin in (first, second)]
    for name, found in streams_of(first, In).items():
        setup.assume(stable_stream(setup, found, name))
    payloads = {f"{name}__payload" for name in outputs[0]}
    for name, (flow, value) in ports[0].items():
        if flow == Out and name not in payloads:
            valid = ports[0][bus[name]][1] if bus and name in bus else Const(1)
            setup.check(implies(valid, value == ports[1][name][1]), f"{name} is that of the twin")
    for name, found in outputs[0].items():
        if data:
            same = Value.cast(found.payload) == Value.cast(outputs[1][name].payload)
            setup.check(implies(found.valid, same), f"{name}: payload is that of the twin")
    return first
