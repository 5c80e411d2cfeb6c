"""The driver on a machine behind a memory that serves one burst at a time or answers late: nothing hangs, all is right.

For machines that gather the bursts they write; those with `addresses_ahead` may lock up here, as the documents say.
"""

from __future__ import annotations

import cocotb

from fineq_sim.bench.shared_port import KINDS
from fineq_sim.benches.machine.driver_bench import run_check

UNFRIENDLY = ["sums", "outputs", "chain", "abort", "bus_errors"]
UNFRIENDLY_KINDS = [kind for kind in KINDS if kind != "two-ports"]


@cocotb.test()
@cocotb.parametrize(
    check=[cocotb.Param(name, name) for name in UNFRIENDLY],
    kind=[cocotb.Param(name, name) for name in UNFRIENDLY_KINDS],
)
async def test_shared_port(dut, check, kind):
    await run_check(dut, check, kind=kind)
