"""Partial sums between the inner tiles of the array, and finished sums on their way to the vector unit."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream
from amaranth.lib.memory import Memory, ReadPort, WritePort
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from fineq_hw.buffers.double_buffer import DoubleBuffer, stream_reads
from fineq_hw.config import AcceleratorConfig
from fineq_hw.control.tile_walk import TileWalk
from fineq_hw.lib.core_ports import results_payload, sums_layout
from fineq_hw.lib.hierarchy import place
from fineq_hw.lib.job_block import JobBlock
from fineq_hw.lib.machine_streams import sums_group_layout
from fineq_hw.lib.role import MachineBlock, Role, Synthesis


class OutputBuffer(JobBlock):
    """Accumulates the sums of one tile while those of the one before drain.

    Memory: two halves of `vector_lanes` banks; channel n of the tile is word n / lanes of bank n mod lanes, and a
    word holds the sums of all rows. Each bank has one write port (results) and one synchronous read port: the
    array's side reads partial sums from one bank of its half, the drain reads all banks of the other half and
    picks one row. A word is never read in the cycle that writes it: the partial sum of a channel is read after
    the result of the inner tile before has been written. Contents are not reset.

    Streams:
        results: of the core, taken at once unless both halves are full.
        partials: to the core, for all inner tiles but the first; one a cycle once they are there.
        groups: a finished tile, token by token, `vector_lanes` channels a cycle.

    Other ports: `start`, `job` and `busy` of `JobBlock`; busy until all sums of the job have been drained.
    """

    KIND = "output_buffer"
    ROLE = Role(MachineBlock.BUFFERS, Synthesis.KEEP)

    def __init__(self, config: AcceleratorConfig) -> None:
        super().__init__(
            config,
            {
                "results": In(stream.Signature(results_payload(config.array))),
                "partials": Out(stream.Signature(sums_layout(config.array))),
                "groups": Out(stream.Signature(sums_group_layout(config))),
            },
        )

    @property
    def module_parameters(self) -> tuple[object, ...]:
        config, array = self.config, self.config.array
        sizes = (f"{array.rows}x{config.channels_per_tile}", config.final_channels)
        return (*sizes, array.accumulator_bits, config.vector_lanes, config.address_bits)

    def elaborate(self, platform) -> Module:
        m = Module()
        config = self.config
        walk = TileWalk(config)
        halves = DoubleBuffer()
        place(m, "walk", walk)
        place(m, "halves", halves)
        word_bits, depth = config.array.accumulator_bits * config.array.rows, config.channels_per_tile // self._lanes
        reads: list[list[ReadPort]] = [[], []]
        writes: list[list[WritePort]] = [[], []]
        for half in range(2):
            for lane in range(self._lanes):
                bank = Memory(shape=word_bits, depth=depth, init=[])
                m.submodules[f"bank_{half}_{lane}"] = bank
                writes[half].append(bank.write_port())
                reads[half].append(bank.read_port())
        self._elaborate_results(m, walk, halves, writes)
        partial_read, partial_group, partial_lane = self._elaborate_partials(m, walk, halves, reads)
        drain_read, drain_group = self._elaborate_drain(m, walk, halves, reads)
        for half, ports in enumerate(reads):
            draining, accumulating = Signal(name=f"draining_{half}"), Signal(name=f"accumulating_{half}")
            m.d.comb += [
                draining.eq(halves.can_play & (halves.play_half == half)),
                accumulating.eq(partial_read & (halves.fill_half == half)),
            ]
            for lane, port in enumerate(ports):
                m.d.comb += [
                    port.addr.eq(Mux(draining, drain_group, partial_group)),
                    port.en.eq(Mux(draining, drain_read, accumulating & (partial_lane == lane))),
                ]
        m.d.comb += self.busy.eq(walk.active | ~halves.idle)
        return m

    @property
    def _lanes(self) -> int:
        return self.config.vector_lanes

    def _split(self, channel: Signal) -> tuple[Value, Value]:
        """Address within a bank, and bank, of a channel; the number of banks is a power of two."""
        bits = exact_log2(self._lanes)
        return channel[bits:], channel[:bits]

    def _elaborate_results(self, m: Module, walk: TileWalk, halves: DoubleBuffer, writes: list[list[WritePort]]):
        """Write every result into the half that does not drain; after the last inner tile it is full."""
        channel = Signal(range(self.config.channels_per_tile))
        group, lane = self._split(channel)
        last = self.results.payload.last
        written = self.results.valid & self.results.ready
        walk.follow(m, self.start, self.job, self.job.inner_tiles)
        m.d.comb += [
            walk.advance.eq(written & last),
            # Nothing is reserved ahead: a half counts as taken from the moment it is full.
            halves.fill.eq(walk.advance & walk.last_inner),
            halves.reserve.eq(halves.fill),
            self.results.ready.eq(halves.can_reserve),
        ]
        with m.If(written):
            m.d.sync += channel.eq(Mux(last, 0, channel + 1))
        for half, ports in enumerate(writes):
            for number, port in enumerate(ports):
                m.d.comb += [
                    port.addr.eq(group),
                    port.data.eq(self.results.payload.sums),
                    port.en.eq(written & (halves.fill_half == half) & (lane == number)),
                ]

    def _elaborate_partials(self, m: Module, walk: TileWalk, halves: DoubleBuffer, reads: list[list[ReadPort]]):
        """Read back what has been written, in the same order, for the next inner tile.

        Returns:
            Whether to read, address, bank.
        """
        channel = Signal(range(self.config.channels_per_tile))
        group, lane = self._split(channel)
        waiting = Signal(range(self.config.channels_per_tile + 1))  # results written and not yet read back
        read = stream_reads(m, [], waiting != 0, self.partials.valid, self.partials.ready)
        written = self.results.valid & self.results.ready & ~walk.last_inner
        m.d.sync += waiting.eq(waiting + written - read)
        half_read = Signal()
        lane_read = Signal(range(self._lanes))
        with m.If(read):
            last = channel + 1 == walk.channels_in_tile
            m.d.sync += [channel.eq(Mux(last, 0, channel + 1)), half_read.eq(halves.fill_half), lane_read.eq(lane)]
        with m.Switch(Cat(lane_read, half_read)):
            for number, port in enumerate(reads[0] + reads[1]):
                with m.Case(number):
                    m.d.comb += Value.cast(self.partials.payload).eq(port.data)
        return read, group, lane

    def _elaborate_drain(self, m: Module, walk: TileWalk, halves: DoubleBuffer, reads: list[list[ReadPort]]):
        """Token by token, all channels of a tile: one row is picked from the words of all banks.

        Returns:
            Whether to read, address.
        """
        config, groups, lanes = self.config, self.groups, self._lanes
        tokens_held = Array(Signal(range(config.array.rows + 1), name=f"tokens_held_{h}") for h in range(2))
        channels_held = Array(Signal(range(config.channels_per_tile + 1), name=f"channels_held_{h}") for h in range(2))
        with m.If(halves.fill):
            m.d.sync += [
                tokens_held[halves.fill_half].eq(walk.tokens_in_tile),
                channels_held[halves.fill_half].eq(walk.channels_in_tile),
            ]
        group = Signal(range(config.channels_per_tile // lanes))
        token = Signal(range(config.array.rows))
        remaining = Signal(range(config.channels_per_tile + 1))
        row_last = Signal()
        last = Signal()
        half_read = Signal()
        payload = groups.payload
        # The last group stays in the banks' read registers until it is taken: only then may the array have them.
        available = halves.can_play & ~(groups.valid & payload.last)
        read = stream_reads(m, [], available, groups.valid, groups.ready)
        m.d.comb += [
            remaining.eq(channels_held[halves.play_half] - group * lanes),
            row_last.eq(remaining <= lanes),
            last.eq(row_last & (token + 1 == tokens_held[halves.play_half])),
            halves.release.eq(groups.valid & groups.ready & payload.last),
        ]
        with m.If(read):
            m.d.sync += [
                group.eq(Mux(row_last, 0, group + 1)),
                half_read.eq(halves.play_half),
                payload.valid_lanes.eq(Mux(row_last, remaining, lanes)),
                payload.group.eq(group),
                payload.token.eq(token),
                payload.row_last.eq(row_last),
                payload.last.eq(last),
            ]
            with m.If(row_last):
                m.d.sync += token.eq(Mux(last, 0, token + 1))
        bits = config.array.accumulator_bits
        for lane in range(lanes):
            picked = [Value.cast(ports[lane].data).word_select(payload.token, bits) for ports in reads]
            m.d.comb += payload.sums[lane].eq(Mux(half_read, picked[1], picked[0]).as_signed())
        return read, group
