"""The line decoder: every cluster of a line with its own index code and payload."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.hardware.amaranth_bench import simulate
from helpers.hardware.reference_decoder import decode_line

from fineq.format import BLOCK_WEIGHTS
from fineq_hw.config import ArrayConfig
from fineq_hw.decode.line_decoder import LineDecoder


@pytest.mark.parametrize("columns", [1, 7, 16])
def test_line_decoder_takes_blocks_in_order(columns):
    config = ArrayConfig(rows=1, columns=columns)
    decoder = LineDecoder(config)

    async def bench(ctx):
        line = np.random.default_rng(columns).integers(0, 256, config.line_bytes).tolist()
        ctx.set(decoder.line, int.from_bytes(line, "little"))
        decoded = [(w.magnitude, w.sign) for w in ctx.get(decoder.weights)]
        assert len(decoded) == config.line_weights == config.line_blocks * BLOCK_WEIGHTS
        assert decoded == decode_line(line)

    simulate(decoder, bench, clocked=False)
