"""A whole linear layer through a core, from golden vectors: tiles over M and K, partial sums fed back.

Parameters: `config`, `core` (temporal or packed), `golden`, a directory of golden vectors.
"""

from __future__ import annotations

import cocotb
import numpy as np

from fineq_hw.config import ArrayConfig
from fineq_sim.bench.core_streams import CoreStreams
from fineq_sim.reference.core_cycles import layer_cycles
from fineq_sim.reference.golden import Golden, read_golden
from fineq_sim.reference.layer_partition import LayerTile, tile_inputs, tiles, weight_lines


class LayerBench(CoreStreams[ArrayConfig]):
    def __init__(self, dut, stall: float = 0.0):
        super().__init__(dut, stall)
        self.golden: Golden = read_golden(str(self.settings["golden"]))
        if self.packed:
            self.lines = weight_lines(self.golden.blocks, self.golden.codes.shape[1], self.config)

    def beats(self, tile: LayerTile):
        """Weight beats of one tile, one per output channel."""
        channels = len(self.golden.codes)
        for channel in range(channels):
            last = channel == channels - 1
            if self.packed:
                line, number = divmod(tile.k, self.config.line_slices)
                yield self.payloads.line(self.lines[channel, line].tobytes(), number, tile.accumulate, last)
            else:
                vector = tile_inputs(self.golden.codes[channel], tile.k, self.config).tolist()
                yield self.payloads.weights(vector, tile.accumulate, last)

    async def run(self, early: bool) -> np.ndarray:
        """The layer's sums, int64 [M, N]."""
        self.drive(early_termination=int(early))
        await self.begin()
        tokens, inner = self.golden.activations.shape
        channels = len(self.golden.codes)
        plan = list(tiles(tokens, inner, self.config))
        for tile in plan:
            rows = self.golden.activations[tile.first_row : tile.first_row + tile.rows]
            rows = tile_inputs(rows, tile.k, self.config).tolist()
            self.activations.send(self.payloads.activations(row, i == tile.rows - 1) for i, row in enumerate(rows))
            self.weights.send(self.beats(tile))
        sums = np.zeros((tokens, channels), dtype=np.int64)
        for tile in plan:
            for channel in range(channels):
                (payload,) = await self.results.receive(1)
                values, last = self.payloads.results(payload)
                assert last == (channel == channels - 1)
                if tile.final:
                    sums[tile.first_row : tile.first_row + tile.rows, channel] = values[: tile.rows]
                else:
                    self.partials.send([self.payloads.partials(values)])
        self.assert_empty()
        return sums


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.3], early=[True, False])
async def equals_the_integer_reference(dut, stall, early):
    """Bit for bit; without stalls also in exactly the predicted number of cycles."""
    tb = LayerBench(dut, stall)
    sums = await tb.run(early)
    wrong = np.argwhere(sums != tb.golden.expected_sums)
    assert not len(wrong), f"{len(wrong)} sums differ, first at token {wrong[0][0]}, channel {wrong[0][1]}"
    if not stall:
        spent = tb.results.cycles[-1] - tb.activations.cycles[0] + 1
        predicted = layer_cycles(tb.golden.codes, len(tb.golden.activations), tb.config, early).total
        assert spent == predicted, f"the layer took {spent} cycles, predicted {predicted}"
