"""Decoder: every index code with every payload, against the specification."""

from __future__ import annotations

import cocotb

from fineq.format import CLUSTER_PAYLOAD_BITS, CLUSTER_WEIGHTS, INDEX_BITS, OUTLIER_BITS
from fineq_sim.bench.testbench import settle
from fineq_sim.reference.bits import unpack
from fineq_sim.reference.weights import decode_cluster, from_sign_magnitude


@cocotb.test()
async def every_code_and_payload(dut):
    """4 x 64 inputs, minus zeros among them."""
    for code in range(1 << INDEX_BITS):
        for payload in range(1 << CLUSTER_PAYLOAD_BITS):
            dut.index.value = code
            dut.payload.value = payload
            await settle()
            fields = unpack(int(dut.weights.value), OUTLIER_BITS, CLUSTER_WEIGHTS)
            weights = [from_sign_magnitude(field, OUTLIER_BITS) for field in fields]
            assert weights == decode_cluster(code, payload), f"index code {code}, payload {payload:06b}"
