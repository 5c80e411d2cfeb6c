"""Records of channels and tokens joined with groups of sums: sizes around every limit, formats, pauses."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np

from fineq_hw.config import ALIGNMENT
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.lib.machine_streams import scaled_group_layout, sums_group_layout
from fineq_sim.bench.block_bench import FetchingBlockBench
from fineq_sim.reference.memory_image import channel_image, token_image
from fineq_sim.reference.tile_walk import nest_tiles


class ParameterBufferBench(FetchingBlockBench):
    def __init__(self, dut, stall: float = 0.0):
        super().__init__(dut, stall)
        self.groups = self.producer("groups")
        self.scaled = self.consumer("scaled")

    async def run(self, tokens: int, channels: int, output: OutputFormat) -> None:
        config, lanes, rng = self.config, self.config.vector_lanes, self.rng
        of_channels = [rng.integers(0, 1 << 16, channels), rng.integers(0, 64, channels)]
        of_channels.append(rng.integers(-1 << 31, 1 << 31, channels))
        of_tokens = [rng.integers(0, 1 << 16, tokens), rng.integers(0, 64, tokens)]
        records = {
            "channel_parameters": channel_image(*of_channels),
            "token_parameters": token_image(config, *of_tokens),
        }
        # Words of the bus are read whole, so what lies behind the last record up to the alignment is read too.
        images = {name: np.append(image, self.anything(-len(image) % ALIGNMENT)) for name, image in records.items()}
        addresses = {name: self.anywhere(len(image)) for name, image in images.items()}
        self.reader.memory = {addresses[name]: image for name, image in images.items()}
        self.reader.transfers.clear()
        await self.start(tokens, channels, 1, output_format=output, **addresses)
        groups = []
        for tile in nest_tiles(config, tokens, channels):
            for token in range(tile.tokens):
                for first in range(0, tile.channels, lanes):
                    row_last = first + lanes >= tile.channels
                    fields: dict[str, Any] = {
                        "sums": [int(v) for v in rng.integers(-1000, 1000, lanes)],
                        "valid_lanes": min(lanes, tile.channels - first),
                        "group": first // lanes,
                        "token": token,
                        "row_last": int(row_last),
                        "last": int(row_last and token == tile.tokens - 1),
                    }
                    groups.append((fields, tile.first_channel + first, tile.first_token + token))
        self.groups.send(sums_group_layout(config).const(fields).as_value().value for fields, _, _ in groups)
        payloads = await self.scaled.receive(len(groups), within=50 * len(groups) + 1000)
        for (fields, channel, token), payload in zip(groups, payloads, strict=True):
            got = scaled_group_layout(config).from_bits(payload)
            assert [int(v) for v in got.sums] == fields["sums"]
            for name in ("valid_lanes", "row_last", "last"):
                assert getattr(got, name) == fields[name], name
            if output is OutputFormat.SUMS:
                continue
            assert (got.token.multiplier, got.token.shift) == tuple(int(v[token]) for v in of_tokens), f"token {token}"
            for lane in range(fields["valid_lanes"]):
                record = got.channels[lane]
                values = (record.multiplier, record.shift, record.bias)
                assert values == tuple(int(v[channel + lane]) for v in of_channels), f"channel {channel + lane}"
        if output is OutputFormat.SUMS:
            assert not self.reader.transfers, "nothing needs to be read"
        await self.end_of_job()


@cocotb.test()
@cocotb.parametrize(stall=[0.0, 0.4])
async def joins_records_and_sums(dut, stall):
    tb = await ParameterBufferBench.begun(dut, stall)
    for tokens, channels, _ in tb.sizes():
        await tb.run(tokens, channels, tb.source.choice(list(OutputFormat)))
    await tb.run(3, 5, OutputFormat.SUMS)
    await tb.run(3, 5, OutputFormat.INT8)
    await tb.finish()
