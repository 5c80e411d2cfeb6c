"""The self-test's player: it passes what is right, and notices what is wrong, missing, or never comes."""

from __future__ import annotations

import pytest
from amaranth.sim import Simulator

from fineq_hw.link.script import ScriptPlayer, ScriptStep, Step

SCRIPT = [
    ScriptStep(Step.WRITE, 0x10, 0xDEADBEEF),
    ScriptStep(Step.CHECK, 0x10, 0xDEADBEEF),
    ScriptStep(Step.WRITE, 0xC0000014, 1),
    ScriptStep(Step.AWAIT, 0x80000024, 2),
    ScriptStep(Step.CHECK, 0x14, 0),
]


def play(script: list[ScriptStep], wrong_at: int | None = None, ready_after: int = 5) -> tuple[bool, bool, dict]:
    """Passed, failed and the memory after a script; STATUS becomes 2 at its `ready_after`th look."""
    player = ScriptPlayer(script, patience=20)
    memory: dict[int, int] = {}
    looks = 0

    async def bus(ctx) -> None:
        nonlocal looks
        while ctx.get(player.running):
            if ctx.get(player.bus.valid):
                address = ctx.get(player.bus.address)
                if ctx.get(player.bus.write):
                    memory[address] = ctx.get(player.bus.data)
                looks += address == 0x80000024
                answer = 2 * (looks >= ready_after) if address == 0x80000024 else memory.get(address, 0)
                ctx.set(player.bus.answer, answer)
                ctx.set(player.bus.error, address == wrong_at)
                ctx.set(player.bus.ready, 1)
                await ctx.tick()
                ctx.set(player.bus.ready, 0)
            await ctx.tick()

    found: list[bool] = []

    async def all_of_it(ctx) -> None:
        await bus(ctx)
        found.extend([bool(ctx.get(player.passed)), bool(ctx.get(player.failed))])

    simulator = Simulator(player)
    simulator.add_clock(1e-6)
    simulator.add_testbench(all_of_it)
    simulator.run()
    return found[0], found[1], memory


def test_a_right_run_passes():
    passed, failed, memory = play(SCRIPT)
    assert passed and not failed
    assert memory == {0x10: 0xDEADBEEF, 0xC0000014: 1}


@pytest.mark.parametrize(
    "script, options",
    [
        ([*SCRIPT[:1], ScriptStep(Step.CHECK, 0x10, 0xDEADBEEE)], {}),
        (SCRIPT, {"wrong_at": 0x10}),
        (SCRIPT, {"wrong_at": 0xC0000014}),
        (SCRIPT, {"ready_after": 1000}),
    ],
)
def test_what_is_wrong_fails(script, options):
    passed, failed, _ = play(script, **options)
    assert failed and not passed
