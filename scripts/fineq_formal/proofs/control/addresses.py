"""Addresses of everything that walks the tile nest: rows of the regions whose extents the descriptor unit has checked.

Of row-wise regions (destination, activations) it is proven that the rows of a tile begin a whole number of strides
behind the region's start, one after another, and end where the region's rows end. With the cover of tokens and channels
this is the extent (tokens - 1) * stride + bytes of a row.
"""

from __future__ import annotations

from amaranth.hdl import Const, Mux, Signal, Value

from fineq_formal.checkers.streams import check_streams
from fineq_formal.configurations import TINY
from fineq_formal.proof import Proof
from fineq_formal.proofs.control.nest import Nest
from fineq_formal.setup import Setup, implies
from fineq_hw.buffers.input_buffer import InputBuffer
from fineq_hw.buffers.parameter_buffer import ParameterBuffer
from fineq_hw.buffers.weight_buffer import WeightBuffer
from fineq_hw.config import ALIGNMENT, AcceleratorConfig
from fineq_hw.control.write_back import WriteBack
from fineq_hw.interface.jobs import OutputFormat, result_bytes
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, record_bytes
from fineq_hw.lib.hierarchy import flat_ports
from fineq_hw.lib.machine_streams import job_layout

_Walker = WriteBack | InputBuffer | WeightBuffer | ParameterBuffer


def _begin(setup: Setup, dut: _Walker, config: AcceleratorConfig) -> Signal:
    """Add a block with any legal job, held still; it is started while it is not busy."""
    assert any(port == "job" for port, _, _ in flat_ports(dut))
    setup.add("dut", dut, driven=("job",))
    job = setup.fixed("job", job_layout(config))
    setup.m.d.comb += dut.job.eq(job)
    for size in ("tokens", "channels", "inner_tiles", "line_groups"):
        setup.assume(job[size] != 0)
    setup.assume(job.output_format <= max(OutputFormat))
    setup.assume(implies(dut.start, ~dut.busy))
    return job


def _asked(dut: _Walker) -> Value:
    return dut.commands.valid & dut.commands.ready


def _check_rows(
    setup: Setup, dut: WriteBack | InputBuffer, nest: Nest, address: Value, row_bytes: Value, stride: Value
) -> None:
    """Of a region of rows: a command is for the tile on turn, which begins at `address`."""
    command, valid = dut.commands.payload, dut.commands.valid
    setup.check(implies(valid, nest.active), "no command beyond the last tile")
    setup.check(implies(valid, command.rows == nest.tile_tokens), "as many rows as the tile has tokens")
    setup.check(implies(valid, command.row_bytes == row_bytes), "rows as long as the tile's part of them")
    setup.check(implies(valid, command.stride == stride), "rows lie a stride apart")
    setup.check(
        implies(valid, command.address == address[: len(command.address)]), "a tile begins behind the ones before"
    )


def _write_back(setup: Setup, config: AcceleratorConfig) -> None:
    m = setup.m
    dut = WriteBack(config)
    job = _begin(setup, dut, config)
    check_streams(setup, dut)
    nest = Nest(setup, config, job.tokens, job.channels, Const(1, 16), dut.start, _asked(dut))
    small = job.output_format == OutputFormat.INT8
    wide, narrow = result_bytes(OutputFormat.FIXED), result_bytes(OutputFormat.INT8)

    def bytes_of(channels: Value) -> Value:
        return Mux(small, channels * narrow, channels * wide)

    base = Signal(config.address_bits)  # of the tile's first token
    offset = Signal(config.address_bits)  # of the tile's first channel in a row
    with m.If(dut.start):
        m.d.sync += [base.eq(job.destination), offset.eq(0)]
    with m.Elif(_asked(dut)):
        m.d.sync += offset.eq(offset + bytes_of(nest.tile_channels))
        with m.If(nest.last_channels):
            m.d.sync += [offset.eq(0), base.eq(base + job.destination_stride * config.array.rows)]
    setup.check(implies(nest.active, dut.commands.valid), "a command for every tile")
    _check_rows(setup, dut, nest, base + offset, bytes_of(nest.tile_channels), job.destination_stride)


def _activations(setup: Setup, config: AcceleratorConfig) -> None:
    m = setup.m
    dut = InputBuffer(config)
    job = _begin(setup, dut, config)
    nest = Nest(setup, config, job.tokens, job.channels, job.inner_tiles, dut.start, _asked(dut))
    base, offset = Signal(config.address_bits), Signal(config.address_bits)
    with m.If(dut.start):
        m.d.sync += [base.eq(job.activations), offset.eq(0)]
    with m.Elif(_asked(dut)):
        m.d.sync += offset.eq(offset + config.activation_tile_bytes)
        with m.If(nest.last_inner):
            m.d.sync += offset.eq(0)
            with m.If(nest.last_channels):
                m.d.sync += base.eq(base + job.activation_stride * config.array.rows)
    _check_rows(setup, dut, nest, base + offset, Const(config.activation_tile_bytes), job.activation_stride)


def _weights(setup: Setup, config: AcceleratorConfig) -> None:
    """The image has one chunk for every line group of every whole channel tile."""
    m = setup.m
    dut = WeightBuffer(config)
    job = _begin(setup, dut, config)
    nest = Nest(setup, config, job.tokens, job.channels, job.line_groups, dut.start, _asked(dut))

    def chunk(channels: Value) -> Value:
        size = channels * config.line_bytes + (ALIGNMENT - 1)
        return size - size % ALIGNMENT

    tile, group = Signal(config.address_bits), Signal(config.address_bits)
    with m.If(dut.start):
        m.d.sync += [tile.eq(job.weights), group.eq(0)]
    with m.Elif(_asked(dut)):
        m.d.sync += group.eq(group + chunk(nest.whole))
        with m.If(nest.last_inner):
            m.d.sync += group.eq(0)
            with m.If(nest.last_channels):
                m.d.sync += tile.eq(job.weights)
            with m.Elif(nest.last_portion):
                m.d.sync += tile.eq(tile + group + chunk(nest.whole))
    command, valid = dut.commands.payload, dut.commands.valid
    offset = Signal(config.address_bits)
    m.d.comb += offset.eq(chunk(nest.whole_done))
    end = Signal(24)
    m.d.comb += end.eq(offset + command.row_bytes)
    setup.check(implies(valid, nest.active), "no command beyond the last tile")
    setup.check(implies(valid, command.row_bytes == chunk(nest.tile_channels)), "the lines of the tile's channels")
    setup.check(implies(valid, command.rows == 1), "one row")
    address = (tile + group + offset)[: config.address_bits]
    setup.check(implies(valid, command.address == address), "lines of the tile and the line group on turn")
    setup.check(implies(valid, end <= chunk(nest.whole)), "a portion stays within the lines of its tile")


def _parameters(setup: Setup, config: AcceleratorConfig) -> None:
    m = setup.m
    dut = ParameterBuffer(config)
    job = _begin(setup, dut, config)
    tokens_turn = Signal()  # channels first, then tokens
    with m.If(_asked(dut) & ~dut.start):
        m.d.sync += tokens_turn.eq(~tokens_turn)
    read = job.output_format != OutputFormat.SUMS
    advance = _asked(dut) & tokens_turn
    one = Const(1, 16)
    nest = Nest(setup, config, job.tokens, job.channels, one, dut.start & read, advance)
    channel_bytes, token_bytes = record_bytes(CHANNEL_PARAMETERS), record_bytes(TOKEN_PARAMETERS)
    tokens_base = Signal(config.address_bits)
    channels_base = Signal(config.address_bits)
    with m.If(dut.start):
        m.d.sync += [tokens_base.eq(job.token_parameters), channels_base.eq(job.channel_parameters)]
    with m.Elif(advance):
        m.d.sync += channels_base.eq(channels_base + nest.tile_channels * channel_bytes)
        with m.If(nest.last_channels):
            m.d.sync += [
                channels_base.eq(job.channel_parameters),
                tokens_base.eq(tokens_base + config.token_tile_bytes),
            ]
    command, valid = dut.commands.payload, dut.commands.valid
    setup.check(implies(valid, nest.active), "no command beyond the last tile, none for plain sums")
    setup.check(implies(valid, command.rows == 1), "one row")
    setup.check(
        implies(valid, command.address == Mux(tokens_turn, tokens_base, channels_base)), "records of the tile on turn"
    )
    size = Mux(tokens_turn, nest.tile_tokens * token_bytes, nest.tile_channels * channel_bytes)
    setup.check(implies(valid, command.row_bytes == size), "as many records as the tile has")


PROOFS = (
    Proof(
        "control/write_back/addresses",
        "Results go to the rows of the destination, tile behind tile, and nowhere else: all jobs",
        lambda setup: _write_back(setup, TINY),
    ),
    Proof(
        "buffers/input_buffer/addresses",
        "Activations are read from the rows of their region, tile behind tile, and from nowhere else: all jobs",
        lambda setup: _activations(setup, TINY),
    ),
    Proof(
        "buffers/weight_buffer/addresses",
        "Lines are read group behind group of the tile on turn, and a portion stays within its tile: all jobs",
        lambda setup: _weights(setup, TINY),
    ),
    Proof(
        "buffers/parameter_buffer/addresses",
        "Records are read tile behind tile, and none for plain sums: all jobs",
        lambda setup: _parameters(setup, TINY),
    ),
)
