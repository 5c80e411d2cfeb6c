"""Activations from memory to the array: one filling is loaded while the one before is in use."""

from __future__ import annotations

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from fineq_hw.buffers.double_buffer import DoubleBuffer, stream_reads
from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.lib.core_ports import activations_payload
from fineq_hw.lib.hierarchy import place
from fineq_hw.lib.job_block import JobBlock, fetch_ports
from fineq_hw.lib.role import MachineBlock, Role, Synthesis


class InputBuffer(JobBlock):
    """Fetches the activations of every inner tile of a job, in the order of `TileWalk`, and plays them to the core.

    Memory: two halves of `rows` words; a word is one row of the array, columns x 8 bits rounded up to bus words.
    One write port that writes a bus word of it, one synchronous read port; a word is never read and written in
    the same cycle. Contents are not reset.

    Streams:
        commands, words: of the read engine. A command asks for one filling: a piece of `activation_tile_bytes`
            of every token in the tile. Words are always taken.
        activations: payload of the core; one row a cycle, the last one of a filling marked.

    Other ports:
        start, job, busy: see `JobBlock`; busy until all fillings of the job have been played.
        hold: do not begin to fetch a filling while another one waits to be played; the bus is needed elsewhere.
    """

    KIND = "input_buffer"
    ROLE = Role(MachineBlock.BUFFERS, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            config,
            {
                "hold": In(1),
                **fetch_ports(config),
                "activations": Out(stream.Signature(activations_payload(config.array))),
            },
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config, array = self.config, self.config.array
        sizes = (f"{array.rows}x{array.columns}", config.channels_per_tile, config.final_channels)
        return (*sizes, config.bus_bits, config.address_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        rows, tile_bytes = self.config.array.rows, self.config.activation_tile_bytes
        walk = TileWalk(self.config)
        halves = DoubleBuffer()
        place(m, "walk", walk)
        place(m, "halves", halves)
        rows_held = Array(Signal(range(rows + 1), name=f"rows_held_{half}") for half in range(2))
        self._elaborate_commands(m, walk, halves, tile_bytes)
        with m.If(halves.reserve):
            m.d.sync += rows_held[halves.reserve_half].eq(walk.tokens_in_tile)

        used = -(-self.config.array.columns // self.config.bus_bytes)  # bus words of a row that hold activations
        bits = self.config.bus_bits
        m.submodules.memory = memory = Memory(shape=bits * used, depth=2 * rows, init=[])

        write = memory.write_port(granularity=bits)
        row = Signal(range(rows))
        word = Signal(range(tile_bytes // self.config.bus_bytes))
        m.d.comb += [
            self.words.ready.eq(1),
            write.addr.eq(Mux(halves.fill_half, rows, 0) + row),
            write.data.eq(self.words.payload.data.replicate(used)),
            halves.fill.eq(self.words.valid & self.words.payload.last),
        ]
        m.d.comb += [write.en[number].eq(self.words.valid & (word == number)) for number in range(used)]
        with m.If(self.words.valid):
            m.d.sync += word.eq(word + 1)
            with m.If(self.words.payload.row_last):
                m.d.sync += [word.eq(0), row.eq(Mux(self.words.payload.last, 0, row + 1))]

        port = memory.read_port()
        played = Signal(range(rows))
        last_row = Signal()
        read = stream_reads(m, [port], halves.can_play, self.activations.valid, self.activations.ready)
        m.d.comb += [
            last_row.eq(played + 1 == rows_held[halves.play_half]),
            port.addr.eq(Mux(halves.play_half, rows, 0) + played),
            halves.release.eq(read & last_row),
            self.activations.payload.values.eq(port.data),
        ]
        with m.If(read):
            m.d.sync += [played.eq(Mux(last_row, 0, played + 1)), self.activations.payload.last.eq(last_row)]
        m.d.comb += self.busy.eq(walk.active | ~halves.idle | self.activations.valid)
        return m

    def _elaborate_commands(self, m: Module, walk: TileWalk, halves: DoubleBuffer, tile_bytes: int) -> None:
        """Ask for the next filling as soon as a half is free."""
        tokens_base = Signal(self.config.address_bits)  # first token of the token tile
        address = Signal(self.config.address_bits)
        after_tile = Signal(self.config.address_bits)
        asked = self.commands.valid & self.commands.ready
        offered = Signal()  # a command once offered stays
        m.d.sync += offered.eq(self.commands.valid & ~self.commands.ready)
        payload = self.commands.payload
        walk.follow(m, self.start, self.job, self.job.inner_tiles)
        m.d.comb += [
            walk.advance.eq(asked),
            halves.reserve.eq(asked),
            self.commands.valid.eq(walk.active & halves.can_reserve & (halves.idle | ~self.hold | offered)),
            payload.address.eq(address),
            payload.row_bytes.eq(tile_bytes),
            payload.rows.eq(walk.tokens_in_tile),
            payload.stride.eq(self.job.activation_stride),
            after_tile.eq(Mux(walk.last_channels, self._next_tokens(tokens_base), tokens_base)),
        ]
        with m.If(self.start):
            m.d.sync += [tokens_base.eq(self.job.activations), address.eq(self.job.activations)]
        with m.Elif(asked):
            m.d.sync += address.eq(address + tile_bytes)
            with m.If(walk.last_inner):
                m.d.sync += [tokens_base.eq(after_tile), address.eq(after_tile)]

    def _next_tokens(self, base: Signal):
        return (base + self.job.activation_stride * self.config.array.rows)[: self.config.address_bits]
