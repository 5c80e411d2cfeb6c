"""Runs a mapped core on real data: checks every result bit for bit and records the switching activity.

Sixty-four independent tiles run at once (`fineq_asic.activity.gate_level`), each with its own activations, weight
vectors and starting partial sums. Recording covers the steady state: weight vectors follow each other without
a pause, as they do for a layer with many output channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fineq.format import MAGNITUDE_BITS
from fineq_asic.activity.gate_level import LANES, GateLevelSimulator, pack_lanes, unpack_lanes
from fineq_asic.activity.switching import Activity
from fineq_asic.errors import SynthesisError
from fineq_asic.netlist.flat import FlatNetlist
from fineq_hw.config import ArrayConfig, MacConfig

_RESET_CYCLES = 2


@dataclass(frozen=True)
class Tile:
    """Work for one run of a core.

    Attributes:
        weights: codes of each weight vector, int8 [vectors, columns]; FineQ codes or 8-bit integers.
        lines: packed weight-buffer line of each vector, uint8 [vectors, line bytes], for a packed core.
        line_slice: which slice of the line the vectors are.
        activations: stationary activations, int8 [rows, columns].
        partials: starting sums, int64 [vectors, rows].
    """

    weights: np.ndarray
    activations: np.ndarray
    partials: np.ndarray
    lines: np.ndarray | None = None
    line_slice: int = 0

    def expected(self) -> np.ndarray:
        """Sums that the core must deliver, int64 [vectors, rows]."""
        return self.partials + self.weights.astype(np.int64) @ self.activations.astype(np.int64).T


@dataclass(frozen=True, eq=False)
class Trace:
    """Values of all nets at the end of every recorded cycle.

    Attributes:
        values: uint64 [cycles + 1, nets], one bit per run; the first entry is what the recording starts from.
        clock_nets: nets that carry the clock, int32; their values here are 0.
        clock_enables: net that enables each clock net, int32; -1: runs always.
    """

    values: np.ndarray
    clock_nets: np.ndarray
    clock_enables: np.ndarray


@dataclass(frozen=True)
class CoreRun:
    """What a run has shown.

    Attributes:
        trace: if asked for.
        activity: toggles in the steady state; None of a ternary run.
        cycles_per_vector: measured clock cycles per weight vector in the recorded window, all runs together.
        results_checked: sums compared with the integer reference; all were equal.
    """

    activity: Activity | None
    cycles_per_vector: float
    results_checked: int
    trace: Trace | None = None

    @property
    def recorded(self) -> Activity:
        """The activity of a run that has one.

        Raises:
            SynthesisError: a ternary run has none.
        """
        if self.activity is None:
            raise SynthesisError("a ternary run records no activity: run with known values")
        return self.activity

    @property
    def traced(self) -> Trace:
        """The trace of a run that was asked for one.

        Raises:
            SynthesisError: it was not.
        """
        if self.trace is None:
            raise SynthesisError("the run kept no trace: ask for one")
        return self.trace


def field_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Integers to bits, least significant first: [..., n] to uint8 [..., n * bits], two's complement."""
    shifted = np.asarray(values).astype(np.int64)[..., None] >> np.arange(bits)
    return (shifted & 1).astype(np.uint8).reshape(*np.shape(values)[:-1], -1)


def signed_fields(bits: np.ndarray, width: int) -> np.ndarray:
    """Bits to signed integers: uint8 [..., n * width] to int64 [..., n]."""
    grouped = bits.reshape(*bits.shape[:-1], -1, width).astype(np.int64)
    weights = 1 << np.arange(width, dtype=np.int64)
    weights[-1] = -weights[-1]
    return grouped @ weights


def sign_magnitude(codes: np.ndarray) -> np.ndarray:
    """FineQ codes to the decoded weight format: sign above the magnitude."""
    codes = np.asarray(codes).astype(np.int64)
    return np.abs(codes) | ((codes < 0).astype(np.int64) << MAGNITUDE_BITS)


class _Driver:
    """Streams of one core for all lanes."""

    def __init__(
        self, config: ArrayConfig | MacConfig, tiles: Sequence[Tile], packed: bool, rows: Sequence[int] | None = None
    ) -> None:
        self.config = config
        self.rows = list(range(config.rows) if rows is None else rows)
        vectors = len(tiles[0].weights)
        if any(len(tile.weights) != vectors for tile in tiles):
            raise ValueError("all tiles must have the same number of weight vectors")
        self.vectors = vectors
        flags = np.zeros((LANES, vectors, 2), dtype=np.uint8)
        flags[:, :, 0] = 1  # accumulate
        if packed:
            assert isinstance(config, ArrayConfig)
            packed_lines = np.stack([tile.lines for tile in tiles if tile.lines is not None])
            lines = np.unpackbits(packed_lines, axis=-1, bitorder="little")
            slice_bits = max((config.line_slices - 1).bit_length(), 0)
            slices = np.repeat(np.array([[tile.line_slice] for tile in tiles]), vectors, axis=1)
            self.weights_port = "lines"
            self.payload = np.concatenate([lines, field_bits(slices[..., None], slice_bits), flags], axis=-1)
        else:
            codes = np.stack([tile.weights for tile in tiles])
            if isinstance(config, MacConfig) and config.weight_bits == 8:
                values = field_bits(codes, config.weight_bits)
            else:
                values = field_bits(sign_magnitude(codes), MAGNITUDE_BITS + 1)
            self.weights_port = "weights"
            self.payload = np.concatenate([values, flags], axis=-1)
        activations = np.stack([tile.activations for tile in tiles])
        last = np.zeros((LANES, config.rows, 1), dtype=np.uint8)
        last[:, -1] = 1
        self.activations = np.concatenate([field_bits(activations, config.activation_bits), last], axis=-1)
        self.partials = field_bits(np.stack([tile.partials for tile in tiles]), config.accumulator_bits)
        self.expected = np.stack([tile.expected() for tile in tiles])
        self.next_vector = np.zeros(LANES, dtype=np.int64)
        self.next_partial = np.zeros(LANES, dtype=np.int64)
        self.next_result = np.zeros(LANES, dtype=np.int64)

    def stream_inputs(self, simulator: GateLevelSimulator) -> None:
        """Offer every lane its next weight vector and its next partial sums; lanes start over at the end."""
        lanes = np.arange(LANES)
        payload = self.payload[lanes, self.next_vector % self.vectors]
        simulator.set_port(f"{self.weights_port}__payload", pack_lanes(payload))
        simulator.set_port("partials__payload", pack_lanes(self.partials[lanes, self.next_partial % self.vectors]))

    def handshakes(self, simulator: GateLevelSimulator) -> int:
        """Advance lanes whose beats were taken, check results; returns how many vectors were accepted."""
        accepted = _flag(simulator, f"{self.weights_port}__ready")
        self.next_vector += accepted
        self.next_partial += _flag(simulator, "partials__ready")
        valid = np.flatnonzero(_flag(simulator, "results__valid"))
        if len(valid):
            bits = self.config.accumulator_bits
            unknown = unpack_lanes(simulator.unknown_bits("results__payload"))[valid, :-1]
            affected = np.asarray(unknown.reshape(len(valid), -1, bits)[:, self.rows].any(axis=(1, 2)))
            if affected.any():
                lane = valid[affected][0]
                raise SynthesisError(
                    f"the result of weight vector {self.next_result[lane]} depends on what registers held before reset"
                )
            sums = signed_fields(unpack_lanes(simulator.get_port("results__payload"))[valid, :-1], bits)[:, self.rows]
            index = self.next_result[valid] % self.vectors
            expected = self.expected[valid, index][:, self.rows]
            wrong = np.argwhere(sums != expected)
            if len(wrong):
                lane, row = valid[wrong[0][0]], self.rows[wrong[0][1]]
                raise SynthesisError(
                    f"the mapped netlist is wrong: weight vector {self.next_result[lane]} of run {lane}, row {row}: "
                    f"got {sums[tuple(wrong[0])]}, expected {expected[tuple(wrong[0])]}"
                )
            self.next_result[valid] += 1
        return int(accepted.sum())


def _flag(simulator: GateLevelSimulator, port: str) -> np.ndarray:
    if simulator.unknown_bits(port).any():
        raise SynthesisError(f"{port} depends on what registers held before reset")
    return unpack_lanes(simulator.get_port(port))[:, 0].astype(np.int64)


def _constant(value: int, width: int = 1) -> np.ndarray:
    return np.full(width, ~np.uint64(0) if value else np.uint64(0), dtype=np.uint64)


def run_core(
    flat: FlatNetlist,
    config: ArrayConfig | MacConfig,
    tiles: Sequence[Tile],
    *,
    packed: bool,
    warm_up: int,
    cycles: int,
    source: str = "",
    seed: int = 0,
    ternary: bool = False,
    rows: Sequence[int] | None = None,
    trace: bool = False,
) -> CoreRun:
    """Preload the tiles, stream their weight vectors, check the sums, record the activity.

    Args:
        flat: mapped netlist of a `TemporalCore`, `PackedCore` or `MacCore`.
        config: its configuration.
        tiles: work for each of the 64 lanes, equally many vectors each; vectors repeat when they run out.
        packed: the core takes packed lines.
        warm_up: cycles of streaming before the recording, at least the latency of the core.
        cycles: cycles to record.
        source: description of the data for the report.
        seed: seed of what registers hold before reset.
        ternary: registers hold unknown values before reset; every flag and result must become known. No activity.
        rows: rows whose results are checked; all if None. For netlists in which other rows are loads only.
        trace: keep the values of all nets in every recorded cycle.

    Raises:
        SynthesisError: a result differs from the integer reference, or the core hangs.
    """
    if len(tiles) != LANES:
        raise ValueError(f"need {LANES} tiles, got {len(tiles)}")
    simulator = GateLevelSimulator(flat, seed=seed, ternary=ternary)
    driver = _Driver(config, tiles, packed, rows)
    for name, (direction, nets) in flat.ports.items():
        if direction == "input":
            simulator.set_port(name, _constant(0, len(nets)))
    simulator.set_port("results__ready", _constant(1))
    if "early_termination" in flat.ports:
        simulator.set_port("early_termination", _constant(1))
    for _ in range(_RESET_CYCLES):
        simulator.set_port("rst", _constant(1))
        simulator.settle()
        simulator.clock_edge()
    simulator.set_port("rst", _constant(0))

    simulator.set_port("activations__valid", _constant(1))
    for row in range(config.rows):
        simulator.set_port("activations__payload", pack_lanes(driver.activations[:, row]))
        simulator.settle()
        if not _flag(simulator, "activations__ready").all():
            raise SynthesisError(f"the mapped netlist does not take activation row {row}")
        simulator.clock_edge()
    simulator.set_port("activations__valid", _constant(0))

    simulator.set_port(f"{driver.weights_port}__valid", _constant(1))
    simulator.set_port("partials__valid", _constant(1))
    accepted = 0
    values: list[np.ndarray] = []
    for cycle in range(warm_up + cycles + 1):  # the first recorded cycle only sets the reference
        driver.stream_inputs(simulator)
        simulator.settle()
        taken = driver.handshakes(simulator)
        if cycle > warm_up:
            accepted += taken
        if trace and cycle >= warm_up:
            assert isinstance(simulator.values, np.ndarray)  # there is no trace of a ternary run
            values.append(simulator.values[:-1].copy())
        simulator.clock_edge(record=cycle >= warm_up and not ternary)
    if accepted == 0 or not (driver.next_result > 0).all():
        raise SynthesisError("the mapped netlist accepts no weight vectors or delivers no results")
    return CoreRun(
        None if ternary else simulator.activity(source),
        cycles * LANES / accepted,
        int(driver.next_result.sum()) * len(driver.rows),
        Trace(np.stack(values), *simulator.clock_nets) if trace else None,
    )
