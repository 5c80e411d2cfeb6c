"""Where the results of every tile go: commands for the write engine."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Out

from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.interface.jobs import OutputFormat, result_bytes
from fineq_hw.lib.hierarchy import place
from fineq_hw.lib.job_block import JobBlock
from fineq_hw.lib.machine_streams import transfer_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis


class WriteBack(JobBlock):
    """One command for every token tile and channel tile of a job, in the order of `TileWalk`.

    Streams: `commands` of the write engine: as many rows as tokens in the tile, as long as its channels.

    Other ports: `start`, `job` and `busy` of `JobBlock`; busy until all commands have been given.
    """

    KIND = "write_back"
    ROLE = Role(MachineBlock.CONTROL, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(config, {"commands": Out(stream.Signature(transfer_layout(config)))})

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config = self.config
        return (f"{config.array.rows}x{config.channels_per_tile}", config.final_channels, config.address_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        config, job = self.config, self.job
        walk = TileWalk(config)
        place(m, "walk", walk)
        tokens_base = Signal(config.address_bits)
        address = Signal(config.address_bits)
        row_bytes = Signal.like(self.commands.payload.row_bytes)
        next_tokens = Signal(config.address_bits)
        wide, narrow = result_bytes(OutputFormat.FIXED), result_bytes(OutputFormat.INT8)
        small = job.output_format == OutputFormat.INT8
        asked = self.commands.valid & self.commands.ready
        walk.follow(m, self.start, job, 1)
        m.d.comb += [
            walk.advance.eq(asked),
            row_bytes.eq(Mux(small, walk.channels_in_tile * narrow, walk.channels_in_tile * wide)),
            next_tokens.eq(tokens_base + job.destination_stride * config.array.rows),
            self.commands.valid.eq(walk.active),
            self.commands.payload.address.eq(address),
            self.commands.payload.row_bytes.eq(row_bytes),
            self.commands.payload.rows.eq(walk.tokens_in_tile),
            self.commands.payload.stride.eq(job.destination_stride),
            self.busy.eq(walk.active),
        ]
        with m.If(self.start):
            m.d.sync += [tokens_base.eq(job.destination), address.eq(job.destination)]
        with m.Elif(asked):
            with m.If(walk.last_channels):
                m.d.sync += [tokens_base.eq(next_tokens), address.eq(next_tokens)]
            with m.Else():
                m.d.sync += address.eq(address + row_bytes)
        return m
