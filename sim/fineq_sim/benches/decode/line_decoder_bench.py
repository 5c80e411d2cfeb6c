"""Line decoder: lines of packed bytes straight from the quantizer, and random ones."""

from __future__ import annotations

import cocotb

from fineq.format import BLOCK_BYTES, BLOCK_WEIGHTS, OUTLIER_BITS
from fineq_sim.bench.testbench import parameters, random_source, settle
from fineq_sim.reference.bits import unpack
from fineq_sim.reference.golden import read_golden
from fineq_sim.reference.weights import decode_blocks, from_sign_magnitude


async def decode(dut, line: bytes) -> list[int]:
    dut.line.value = int.from_bytes(line, "little")
    await settle()
    count = len(line) // BLOCK_BYTES * BLOCK_WEIGHTS
    return [from_sign_magnitude(field, OUTLIER_BITS) for field in unpack(int(dut.weights.value), OUTLIER_BITS, count)]


@cocotb.test()
async def lines_of_a_quantized_matrix(dut):
    """The packed bytes of the golden vectors give exactly the codes of the golden vectors."""
    line_bytes = len(dut.line) // 8
    vectors = read_golden(str(parameters()["golden"]))
    channels, inner = vectors.codes.shape
    assert channels > 0
    for channel in range(channels):
        packed = vectors.blocks[channel].tobytes()
        packed += bytes(-len(packed) % line_bytes)
        weights: list[int] = []
        for start in range(0, len(packed), line_bytes):
            weights += await decode(dut, packed[start : start + line_bytes])
        assert weights[:inner] == vectors.codes[channel].tolist(), f"channel {channel}"
        assert not any(weights[inner:]), f"channel {channel}: padding is not zero"


@cocotb.test()
async def random_lines(dut):
    source = random_source("lines")
    for number in range(50):
        line = source.randbytes(len(dut.line) // 8)
        assert await decode(dut, line) == decode_blocks(line), f"line {number}: {line.hex()}"
