"""Decoders: exactly what `fineq.format.decode_cluster` reads, for every input."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Signal, Value

from fineq.format import (
    BLOCK_BYTES,
    BLOCK_CLUSTERS,
    CLUSTER_PAYLOAD_BITS,
    CLUSTER_WEIGHTS,
    INDEX_BITS,
    INDEX_BYTES,
    MAGNITUDE_BITS,
    PAIR_CLUSTERS,
)
from fineq.format.block import decode_cluster
from fineq_formal.proof import Proof
from fineq_formal.setup import Setup
from fineq_hw.config import ARRAYS, ArrayConfig
from fineq_hw.decode.decoder import Decoder
from fineq_hw.decode.line_decoder import LineDecoder

_WEIGHT_BITS = MAGNITUDE_BITS + 1


def _expected(setup: Setup, index: Value, payload: Value, name: str) -> list[Value]:
    """Weights of a cluster in two's complement, by a table of all inputs."""
    weights = Signal(CLUSTER_WEIGHTS * _WEIGHT_BITS, name=f"expected_{name}")
    with setup.m.Switch(Cat(payload, index)):
        for code in range(1 << INDEX_BITS):
            for bits in range(1 << CLUSTER_PAYLOAD_BITS):
                decoded, _ = decode_cluster(code, bits)
                with setup.m.Case(code << CLUSTER_PAYLOAD_BITS | bits):
                    setup.m.d.comb += weights.eq(Cat(Const(weight, _WEIGHT_BITS) for weight in decoded))
    return [weights.word_select(position, _WEIGHT_BITS) for position in range(CLUSTER_WEIGHTS)]


def _matches(weight: Value, expected: Value) -> Value:
    """A weight in sign-magnitude is a number in two's complement."""
    negative, magnitude = weight[MAGNITUDE_BITS], weight[:MAGNITUDE_BITS]
    return (~negative & (magnitude == expected)) | (negative & ((-magnitude)[:_WEIGHT_BITS] == expected))


def _cluster(setup: Setup) -> None:
    dut = setup.add("dut", Decoder())
    for position, expected in enumerate(_expected(setup, dut.index, dut.payload, "cluster")):
        setup.check(_matches(Value.cast(dut.weights[position]), expected), f"weight {position} is that of the format")


def _line(setup: Setup, config: ArrayConfig) -> None:
    """Beside each cluster of the line a decoder of its own, which has been proven right."""
    dut = setup.add("dut", LineDecoder(config))
    for block in range(config.line_blocks):
        packed = dut.line.word_select(block, 8 * BLOCK_BYTES)
        for cluster in range(BLOCK_CLUSTERS):
            number = block * BLOCK_CLUSTERS + cluster
            decoder = setup.add(f"decoder_{number}", Decoder(), driven=("index", "payload"))
            index, payload = cluster // PAIR_CLUSTERS * INDEX_BITS, 8 * INDEX_BYTES + cluster * CLUSTER_PAYLOAD_BITS
            setup.m.d.comb += [
                decoder.index.eq(packed.bit_select(index, INDEX_BITS)),
                decoder.payload.eq(packed.bit_select(payload, CLUSTER_PAYLOAD_BITS)),
            ]
            found = [dut.weights[number * CLUSTER_WEIGHTS + position] for position in range(CLUSTER_WEIGHTS)]
            setup.check(
                Cat(found) == Value.cast(decoder.weights), f"cluster {number} of the line is that of the format"
            )


PROOFS = (
    Proof(
        "decode/decoder/exact",
        "The decoder gives the weights of `decode_cluster`, for all codes and payloads",
        _cluster,
        short=True,
    ),
    *(
        Proof(
            f"decode/line_decoder/exact-{ARRAYS[name].columns}",
            f"Every cluster of a line of {ARRAYS[name].line_bytes} bytes is decoded as the format says",
            lambda setup, config=ARRAYS[name]: _line(setup, config),  # type: ignore[misc]
        )
        for name in ("fineq_64x64",)
    ),
)
