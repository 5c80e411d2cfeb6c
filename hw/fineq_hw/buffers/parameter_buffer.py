"""Scales and biases from memory, joined with the sums that they belong to."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import enum, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from fineq_hw.buffers.double_buffer import DoubleBuffer, stream_reads
from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.interface.jobs import OutputFormat
from fineq_hw.lib.hierarchy import place
from fineq_hw.lib.job_block import JobBlock, fetch_ports
from fineq_hw.lib.machine_streams import (
    channel_parameters_layout,
    scaled_group_layout,
    sums_group_layout,
    token_parameters_layout,
)
from fineq_hw.lib.role import MachineBlock, Role, Synthesis

CHANNEL_BYTES = Shape.cast(channel_parameters_layout).width // 8
TOKEN_BYTES = Shape.cast(token_parameters_layout).width // 8


class ParameterBuffer(JobBlock):
    """Fetches the records of every tile's channels and tokens, and adds them to the drained sums.

    A group of sums is passed on in the cycle after it was taken. With `OutputFormat.SUMS` nothing is fetched and
    the records have no meaning.

    Memory: for the channels two halves of `channels_per_tile / vector_lanes` words of `vector_lanes` records, several
    bus words, one of which is written at a time; for the tokens two halves of as many bus words as a token tile has.
    One write port and one synchronous read port each; a word is never read in the cycle that writes it. Contents
    are not reset.

    Streams:
        commands, words: of the read engine. Two commands a tile: its channels, then its tokens.
        groups: from the output buffer.
        scaled: to the vector unit.

    Other ports: `start`, `job` and `busy` of `JobBlock`; busy until all groups of the job have been passed on.
    """

    KIND = "parameter_buffer"
    ROLE = Role(MachineBlock.BUFFERS, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            config,
            {
                **fetch_ports(config),
                "groups": In(stream.Signature(sums_group_layout(config))),
                "scaled": Out(stream.Signature(scaled_group_layout(config))),
            },
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config, array = self.config, self.config.array
        sizes = (f"{array.rows}x{config.channels_per_tile}", config.final_channels)
        bus = (f"{config.bus_bits}x{config.vector_words}", config.address_bits)
        return (*sizes, array.accumulator_bits, *bus)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        halves = DoubleBuffer()
        place(m, "halves", halves)
        bits, lanes = config.bus_bits, config.vector_lanes
        groups = config.channels_per_tile // lanes
        token_words = config.token_tile_bytes // config.bus_bytes
        parts = lanes * CHANNEL_BYTES // config.bus_bytes  # bus words that hold the records of a group
        m.submodules.channels = channels = Memory(shape=parts * bits, depth=2 * groups, init=[])
        m.submodules.tokens = tokens = Memory(shape=bits, depth=2 * token_words, init=[])
        fetching = self._elaborate_commands(m, halves)

        # Words of the channels come first, those of the tokens after them.
        of_tokens = Signal()
        received = Signal(range(max(parts * groups, token_words)))
        channels_write, tokens_write = channels.write_port(granularity=bits), tokens.write_port()
        arrives = self.words.valid & self.words.ready
        m.d.comb += [
            self.words.ready.eq(1),
            channels_write.addr.eq(Mux(halves.fill_half, groups, 0) + (received >> exact_log2(parts))),
            channels_write.data.eq(self.words.payload.data.replicate(parts)),
            channels_write.en.eq((arrives & ~of_tokens) << received[: exact_log2(parts)]),
            tokens_write.addr.eq(Mux(halves.fill_half, token_words, 0) + received),
            tokens_write.data.eq(self.words.payload.data),
            tokens_write.en.eq(arrives & of_tokens),
            halves.fill.eq(arrives & of_tokens & self.words.payload.last),
        ]
        with m.If(arrives):
            m.d.sync += received.eq(received + 1)
            with m.If(self.words.payload.last):
                m.d.sync += [received.eq(0), of_tokens.eq(~of_tokens)]

        plain = self.job.output_format == OutputFormat.SUMS
        channels_read, tokens_read = channels.read_port(), tokens.read_port()
        available = self.groups.valid & (halves.can_play | plain)
        read = stream_reads(m, [channels_read, tokens_read], available, self.scaled.valid, self.scaled.ready)
        tokens_a_word = config.bus_bytes // TOKEN_BYTES
        token_lane = Signal(range(tokens_a_word))
        given, taken = self.groups.payload, self.scaled.payload
        m.d.comb += [
            self.groups.ready.eq(read),
            halves.release.eq(read & given.last & ~plain),
            channels_read.addr.eq(Mux(halves.play_half, groups, 0) + given.group),
            tokens_read.addr.eq(Mux(halves.play_half, token_words, 0) + (given.token >> exact_log2(tokens_a_word))),
            taken.channels.eq(channels_read.data),
            taken.token.eq(tokens_read.data.word_select(token_lane, 8 * TOKEN_BYTES)),
        ]
        with m.If(read):
            m.d.sync += [token_lane.eq(given.token)]
            m.d.sync += [getattr(taken, name).eq(getattr(given, name)) for name in ("valid_lanes", "row_last", "last")]
            m.d.sync += taken.sums.eq(given.sums)
        m.d.comb += self.busy.eq(fetching | ~halves.idle | self.scaled.valid)
        return m

    def _elaborate_commands(self, m: Module, halves: DoubleBuffer) -> Signal:
        """Ask for the records of the next tile as soon as a half is free; the half is reserved by the second command.

        Returns:
            High while there are commands to give.
        """
        config = self.config
        walk = TileWalk(config)
        place(m, "walk", walk)

        class What(enum.Enum, shape=1):  # type: ignore[call-arg]  # Amaranth reads the shape
            CHANNELS = 0
            TOKENS = 1

        what = Signal(What)
        channels_address = Signal(config.address_bits)
        tokens_address = Signal(config.address_bits)
        asked = self.commands.valid & self.commands.ready
        payload = self.commands.payload
        walk.follow(m, self.start & (self.job.output_format != OutputFormat.SUMS), self.job, 1)
        m.d.comb += [
            walk.advance.eq(asked & (what == What.TOKENS)),
            halves.reserve.eq(walk.advance),
            self.commands.valid.eq(walk.active & halves.can_reserve),
            payload.rows.eq(1),
            payload.stride.eq(0),
        ]
        with m.If(what == What.CHANNELS):
            m.d.comb += [
                payload.address.eq(channels_address),
                payload.row_bytes.eq(walk.channels_in_tile * CHANNEL_BYTES),
            ]
        with m.Else():
            m.d.comb += [payload.address.eq(tokens_address), payload.row_bytes.eq(walk.tokens_in_tile * TOKEN_BYTES)]
        with m.If(self.start):
            m.d.sync += [
                channels_address.eq(self.job.channel_parameters),
                tokens_address.eq(self.job.token_parameters),
            ]
        with m.Elif(asked):
            m.d.sync += what.eq(Mux(what == What.CHANNELS, What.TOKENS, What.CHANNELS))
            with m.If(what == What.TOKENS):
                m.d.sync += channels_address.eq(channels_address + walk.channels_in_tile * CHANNEL_BYTES)
                with m.If(walk.last_channels):
                    m.d.sync += [
                        channels_address.eq(self.job.channel_parameters),
                        tokens_address.eq(tokens_address + config.token_tile_bytes),
                    ]
        return walk.active
