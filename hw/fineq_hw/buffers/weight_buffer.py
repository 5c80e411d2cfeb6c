"""Weights from memory to the array: packed lines are decoded on their way into the buffer."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import Out

from fineq_hw.buffers.double_buffer import DoubleBuffer, stream_reads
from fineq_hw.buffers.gearbox import Gearbox
from fineq_hw.config import ALIGNMENT, AcceleratorConfig, ArrayConfig, MacConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.decode.line_decoder import LineDecoder
from fineq_hw.lib.core_ports import weights_payload
from fineq_hw.lib.hierarchy import place
from fineq_hw.lib.job_block import JobBlock, fetch_ports
from fineq_hw.lib.role import MachineBlock, Role, Synthesis


def decode_line(m: Module, config: AcceleratorConfig, line: Value) -> Value:
    """Add the circuit that turns a line in memory into the weights of its vectors, one after the other.

    A FineQ line goes through the decoders; a line of a MAC array holds plain weights.
    """
    if isinstance(config.array, MacConfig):
        return line[: config.array.columns * config.array.weight_bits]
    decoder = LineDecoder(config.array)
    place(m, "decoder", decoder)
    m.d.comb += decoder.line.eq(line)
    return Cat(decoder.weights[position] for position in config.array.line_order)


class WeightBuffer(JobBlock):
    """Fetches the weight lines of every line group of a job, in the order of `TileWalk`, and plays their vectors.

    Memory: one for each vector of a line, two halves of `channels_per_tile` words of one decoded vector. One
    write port and one synchronous read port each; playing follows writing within a half already, but never
    reads a word in the cycle that writes it. Contents are not reset.

    Streams:
        commands, words: of the read engine. A command asks for the lines of all channels of a tile.
        weights: payload of the core, one vector a cycle if the core takes them so fast.

    Other ports:
        start, job, busy: see `JobBlock`; busy until all vectors of the job have been played.
        line_written: a decoded line enters the buffer.
        decoding: lines of the job are still to be written.
        hungry: the array may have to wait for lines, because no half is full yet.
    """

    KIND = "weight_buffer"
    ROLE = Role(MachineBlock.BUFFERS, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            config,
            {
                **fetch_ports(config),
                "weights": Out(stream.Signature(weights_payload(config.array))),
                "line_written": Out(1),
                "decoding": Out(1),
                "hungry": Out(1),
            },
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config, array = self.config, self.config.array
        in_order = isinstance(array, ArrayConfig) and array.line_order == tuple(range(array.line_weights))
        kind = "fineq" if in_order else array.weight_code  # encodings that take a line in order share the buffer
        sizes = (f"{array.rows}x{array.columns}", config.channels_per_tile, config.final_channels)
        return (kind, *sizes, config.bus_bits, config.address_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        config, depth = self.config, self.config.channels_per_tile
        lines = TileWalk(config)
        halves = DoubleBuffer()
        gearbox = Gearbox(config.bus_bytes, config.line_bytes, depth)
        place(m, "lines_walk", lines)
        place(m, "halves", halves)
        place(m, "gearbox", gearbox)
        self._elaborate_commands(m, lines, halves)
        channels_held = Array(Signal(range(depth + 1), name=f"channels_held_{half}") for half in range(2))
        with m.If(halves.reserve):
            m.d.sync += channels_held[halves.reserve_half].eq(lines.channels_in_tile)

        written = Signal(range(depth + 1))  # lines in the half that is being filled
        m.d.comb += [
            gearbox.words.valid.eq(self.words.valid),
            gearbox.words.payload.data.eq(self.words.payload.data),
            gearbox.words.payload.last.eq(self.words.payload.last),
            self.words.ready.eq(gearbox.words.ready),
            gearbox.lines.eq(channels_held[halves.fill_half]),
            halves.fill.eq(gearbox.done),
            self.line_written.eq(gearbox.line_valid),
            self.decoding.eq(lines.active | halves.pending),
            self.hungry.eq(halves.pending & ~halves.can_play),
        ]
        with m.If(gearbox.done):
            m.d.sync += written.eq(0)
        with m.Elif(gearbox.line_valid):
            m.d.sync += written.eq(written + 1)

        decoded = decode_line(m, config, gearbox.line)
        vector_bits = len(decoded) // config.line_slices
        reads = []
        for number in range(config.line_slices):
            memory = Memory(shape=vector_bits, depth=2 * depth, init=[])
            m.submodules[f"memory_{number}"] = memory
            write = memory.write_port()
            reads.append(memory.read_port())
            m.d.comb += [
                write.addr.eq(Mux(halves.fill_half, depth, 0) + written),
                write.data.eq(decoded.word_select(number, vector_bits)),
                write.en.eq(gearbox.line_valid),
            ]
        self._elaborate_playing(m, halves, reads, written, lines.active)
        return m

    def _elaborate_commands(self, m: Module, walk: TileWalk, halves: DoubleBuffer) -> None:
        """Ask for the next lines as soon as a half is free.

        The image holds the line groups of one channel tile after another. A tile taken in portions is passed
        over once a portion, at the portion's offset in every group. The lines of all portions but the last fill whole
        bus words.
        """
        config = self.config
        tile_base = Signal(config.address_bits)
        group_base = Signal(config.address_bits)
        offset = Signal(range(config.channels_per_tile * config.line_bytes + 1))
        next_group = Signal(config.address_bits)
        asked = self.commands.valid & self.commands.ready
        payload = self.commands.payload
        walk.follow(m, self.start, self.job, self.job.line_groups)
        m.d.comb += [
            walk.advance.eq(asked),
            halves.reserve.eq(asked),
            self.commands.valid.eq(walk.active & halves.can_reserve),
            payload.address.eq(group_base + offset),
            payload.row_bytes.eq(self._chunk_bytes(walk.channels_in_tile)),
            payload.rows.eq(1),
            payload.stride.eq(0),
            next_group.eq(group_base + self._chunk_bytes(walk.image_channels)),
        ]
        with m.If(self.start):
            m.d.sync += [tile_base.eq(self.job.weights), group_base.eq(self.job.weights), offset.eq(0)]
        with m.Elif(asked):
            m.d.sync += group_base.eq(next_group)
            with m.If(walk.last_inner):
                with m.If(walk.last_channels):  # the next tokens meet the same weights
                    m.d.sync += [tile_base.eq(self.job.weights), group_base.eq(self.job.weights), offset.eq(0)]
                with m.Elif(walk.last_portion):
                    m.d.sync += [tile_base.eq(next_group), offset.eq(0)]
                with m.Else():
                    m.d.sync += [group_base.eq(tile_base), offset.eq(offset + payload.row_bytes)]

    def _chunk_bytes(self, channels: Value) -> Value:
        """`AcceleratorConfig.weight_chunk_bytes` in hardware."""
        size = channels * self.config.line_bytes + (ALIGNMENT - 1)
        return (size // ALIGNMENT) * ALIGNMENT

    def _elaborate_playing(
        self, m: Module, halves: DoubleBuffer, reads: list[ReadPort], written: Signal, loading: Value
    ) -> None:
        """Every vector of every line in the half, one vector position after the other."""
        config = self.config
        walk = TileWalk(config)
        place(m, "vectors_walk", walk)
        channel = Signal(range(config.channels_per_tile))
        position, chosen = (Signal(range(config.line_slices), name=name) for name in ("position", "chosen"))
        last_channel = Signal()
        last_position = Signal()
        available = Signal()
        weights = self.weights.payload
        walk.follow(m, self.start, self.job, self.job.inner_tiles)
        m.d.comb += [
            last_channel.eq(channel + 1 == walk.channels_in_tile),
            last_position.eq(walk.last_inner | (position == config.line_slices - 1)),
            # A half that is still being filled can be played as far as it is written, but not given back.
            available.eq(halves.can_play | ((channel < written) & ~(last_channel & last_position))),
        ]
        read = stream_reads(m, [], available, self.weights.valid, self.weights.ready)
        m.d.comb += [
            walk.advance.eq(read & last_channel),
            halves.release.eq(read & last_channel & last_position),
            self.busy.eq(walk.active | loading | self.weights.valid),
        ]
        for number, port in enumerate(reads):
            m.d.comb += [
                port.addr.eq(Mux(halves.play_half, config.channels_per_tile, 0) + channel),
                port.en.eq(read & (position == number)),
            ]
        with m.If(read):
            m.d.sync += [
                channel.eq(Mux(last_channel, 0, channel + 1)),
                chosen.eq(position),
                weights.accumulate.eq(~walk.first_inner),
                weights.last.eq(last_channel),
            ]
            with m.If(last_channel):
                m.d.sync += position.eq(Mux(last_position, 0, position + 1))
        with m.Switch(chosen):
            for number, port in enumerate(reads):
                with m.Case(number):
                    m.d.comb += Value.cast(weights.values).eq(port.data)
