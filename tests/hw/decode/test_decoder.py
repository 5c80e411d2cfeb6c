"""The decoder of one cluster, on every input."""

from __future__ import annotations

from helpers.hardware.amaranth_bench import simulate
from helpers.hardware.reference_decoder import decode_cluster

from fineq.format import CLUSTER_PAYLOAD_BITS, INDEX_BITS
from fineq_hw.decode.decoder import Decoder


def test_decoder_on_every_input():
    decoder = Decoder()

    async def bench(ctx):
        for index in range(1 << INDEX_BITS):
            for payload in range(1 << CLUSTER_PAYLOAD_BITS):
                ctx.set(decoder.index, index)
                ctx.set(decoder.payload, payload)
                weights = ctx.get(decoder.weights)
                assert [(w.magnitude, w.sign) for w in weights] == decode_cluster(index, payload)

    simulate(decoder, bench, clocked=False)
