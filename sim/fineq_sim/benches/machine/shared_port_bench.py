"""The driver on a machine behind a memory that serves one burst at a time: nothing hangs, every result is right.

For machines that gather the bursts they write (`addresses_ahead` off); others may lock up here, as the documents say.
"""

from __future__ import annotations

import cocotb

from fineq_sim.benches.machine.driver_bench import UNFRIENDLY_CHECKS, run_check

UNFRIENDLY = [*UNFRIENDLY_CHECKS, "abort", "bus_errors"]


@cocotb.test()
@cocotb.parametrize(
    check=[cocotb.Param(name, name) for name in UNFRIENDLY],
    kind=[cocotb.Param(name, name) for name in ("one-port", "in-order")],
)
async def test_shared_port(dut, check, kind):
    await run_check(dut, check, kind=kind)
