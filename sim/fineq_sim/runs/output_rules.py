"""When each output of a design means something, from its signature: for runs in which bits may be unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fineq_hw.lib.axi import valid_of

if TYPE_CHECKING:
    from amaranth.lib import wiring

ITSELF = "valid"
"""Field of a structure that says whether the others mean something."""


def output_rules(component: wiring.Component) -> dict[str, str | None]:
    """What must be known after reset, by the name of the port in Verilog.

    Returns:
        For each output: None, it is always to be known; the name of a one-bit port, while that is high; its own name
        and a bit (`error[0]`), while that bit of it is high.
    """
    from amaranth.lib import data, wiring

    members = {path: member for path, member, _ in component.signature.flatten(component)}
    rules: dict[str, str | None] = {}
    for path, member in members.items():
        if member.flow != wiring.Out:
            continue
        name = "__".join(map(str, path))
        valid = (*path[:-1], "valid")
        if len(path) > 1 and path[-1] == "payload" and valid in members:  # amaranth.lib.stream.Signature
            rules[name] = "__".join(map(str, valid))
        elif isinstance(member.shape, data.StructLayout) and ITSELF in member.shape.members:
            rules[name] = f"{name}[{member.shape[ITSELF].offset}]"
        else:
            rules[name] = valid_of(name)
    return rules
