"""Commands of the write engine: address and size of every tile of the result."""

from __future__ import annotations

import cocotb

from fineq_hw.config import ALIGNMENT
from fineq_hw.interface.jobs import STRIDE_BITS, OutputFormat
from fineq_hw.lib.machine_streams import transfer_layout
from fineq_sim.bench.block_bench import BlockBench
from fineq_sim.reference.tile_walk import nest_tiles

BYTES = {OutputFormat.SUMS: 4, OutputFormat.FIXED: 4, OutputFormat.INT8: 1}


@cocotb.test()
@cocotb.parametrize(output=list(OutputFormat))
async def one_command_a_tile(dut, output):
    tb = BlockBench(dut, stall=0.3)
    commands = tb.consumer("commands")
    await tb.begin()
    for tokens, channels, inner in tb.sizes():
        base = tb.source.randrange(1 << tb.config.address_bits) // ALIGNMENT * ALIGNMENT
        stride = tb.source.randrange(1 << tb.source.choice((12, STRIDE_BITS))) // ALIGNMENT * ALIGNMENT
        await tb.start(tokens, channels, inner, destination=base, destination_stride=stride, output_format=output)
        tiles = list(nest_tiles(tb.config, tokens, channels))
        for tile, payload in zip(tiles, await commands.receive(len(tiles)), strict=True):
            command = transfer_layout(tb.config).from_bits(payload)
            address = (base + tile.first_token * stride + tile.first_channel * BYTES[output]) % (
                1 << tb.config.address_bits
            )
            got = (command.address, command.row_bytes, command.rows, command.stride)
            assert got == (address, tile.channels * BYTES[output], tile.tokens, stride), f"{tile}: {got}"
        await tb.end_of_job()
    await tb.finish()
