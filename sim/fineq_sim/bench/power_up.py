"""Runs on Icarus in which registers begin unknown and memories at random: what means something must become known.

After reset a `valid`, a `ready`, an interrupt, a state is 0 or 1 in every cycle; a payload while its `valid` is high.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cocotb
from cocotb.handle import ArrayObject, HierarchyArrayObject, HierarchyObject
from cocotb.triggers import RisingEdge

from fineq_sim.bench.testbench import parameters, random_source, settle

NEVER = ""
"""In place of a port: nothing is promised, as of the operands of an adder tree in a cycle in which nobody looks."""


def _memories(scope: Any) -> Iterator[ArrayObject]:
    children = scope if isinstance(scope, HierarchyObject) else scope._sub_handles.values()
    for child in children:
        if isinstance(child, HierarchyObject | HierarchyArrayObject):
            yield from _memories(child)
        elif isinstance(child, ArrayObject):
            yield child


_filled: set[str] = set()


async def fill_memories(dut: Any) -> None:
    """Give random contents to all words of memories that are unknown, once, if this is such a run.

    Silicon has some contents as well, and reads of unused parts of a word must not look unknown.
    """
    if not parameters().get("outputs") or dut._name in _filled:
        return
    _filled.add(dut._name)
    await settle()  # tables get their contents when the simulation begins
    source = random_source("memories")
    for memory in _memories(dut):
        for word in memory:
            if not word.value.is_resolvable:
                word.value = source.getrandbits(len(word))


def check_outputs(dut: Any, only_while: Mapping[str, str] | None = None) -> Any:
    """Check from now on, at every clock edge, if this is such a run.

    Args:
        dut: the design.
        only_while: for outputs whose signature does not say when they mean something: the one-bit port that does.

    Returns:
        The task that checks, or None.
    """
    rules: dict[str, str | None] = parameters().get("outputs", {})
    if not rules:
        return None
    only_while = only_while or {}
    for port in only_while:
        assert port in rules, f"{port} is no output of the design"
    merged = {port: only_while.get(port, rule) for port, rule in rules.items()}
    checks = [_check(dut, port, rule) for port, rule in merged.items() if rule != NEVER]

    async def run() -> None:
        while True:
            await RisingEdge(dut.clk)
            for check in checks:
                check()

    return cocotb.start_soon(run())


def _check(dut: Any, port: str, rule: str | None) -> Callable[[], None]:
    signal = getattr(dut, port)
    name, _, bit = (rule or "").partition("[")
    condition = getattr(dut, name) if name else None
    index = int(bit[:-1]) if bit else None

    def check() -> None:
        if condition is not None:
            flag = condition.value if index is None else condition.value[index]
            if flag == 0:
                return
            assert flag == 1, f"{rule} is {flag} after reset"
        value = signal.value
        assert value.is_resolvable, f"{port} is {value} after reset"

    return check
