"""What a core is given to do in a gate-level run, and the streams that give it: 64 tiles at once, one a lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fineq.format import MAGNITUDE_BITS
from fineq_asic.activity.gate_level import GateLevelSimulator
from fineq_asic.activity.lanes import LANES, pack_lanes, unpack_lanes
from fineq_asic.errors import SynthesisError
from fineq_hw.config import ArrayConfig, MacConfig


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


@dataclass(frozen=True)
class CoreWork:
    """A core and its work.

    Attributes:
        config: configuration of the core.
        tiles: work for each of the 64 lanes, equally many vectors each; vectors repeat when they run out.
        packed: the core takes packed lines.
        rows: rows whose results are checked; all if None. For netlists in which other rows are loads only.

    Raises:
        ValueError: another number of tiles, or tiles of different length.
    """

    config: ArrayConfig | MacConfig
    tiles: Sequence[Tile]
    packed: bool
    rows: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if len(self.tiles) != LANES:
            raise ValueError(f"need {LANES} tiles, got {len(self.tiles)}")
        if any(len(tile.weights) != len(self.tiles[0].weights) for tile in self.tiles):
            raise ValueError("all tiles must have the same number of weight vectors")


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


class CoreDriver:
    """Streams of one core for all lanes."""

    def __init__(self, work: CoreWork) -> None:
        self.config = config = work.config
        tiles = work.tiles
        self.rows = list(range(config.rows) if work.rows is None else work.rows)
        self.vectors = vectors = len(tiles[0].weights)
        flags = np.zeros((LANES, vectors, 2), dtype=np.uint8)
        flags[:, :, 0] = 1  # accumulate
        if work.packed:
            assert isinstance(config, ArrayConfig)
            packed_lines = np.stack([tile.lines for tile in tiles if tile.lines is not None])
            lines = np.unpackbits(packed_lines, axis=-1, bitorder="little")
            slice_bits = max((config.line_slices - 1).bit_length(), 0)
            slices = np.repeat(np.array([[tile.line_slice] for tile in tiles]), vectors, axis=1)
            self.weights_port = "lines"
            self.payload = np.concatenate([lines, field_bits(slices[..., None], slice_bits), flags], axis=-1)
        else:
            codes = np.stack([tile.weights for tile in tiles])
            if config.signed_weights:
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

    def stream_inputs(self, simulator: GateLevelSimulator, *, last: bool = False) -> None:
        """Offer every lane its next weight vector and its next partial sums; lanes start over at the end.

        Args:
            simulator: of the netlist.
            last: the vector on offer is the last one of its tile: the core takes no further one.
        """
        lanes = np.arange(LANES)
        payload = self.payload[lanes, self.next_vector % self.vectors]
        if last:
            payload[:, -1] = 1
        simulator.set_port(f"{self.weights_port}__payload", pack_lanes(payload))
        simulator.set_port("partials__payload", pack_lanes(self.partials[lanes, self.next_partial % self.vectors]))

    def handshakes(self, simulator: GateLevelSimulator) -> int:
        """Advance lanes whose beats were taken, check results; returns how many vectors were accepted."""
        accepted = _handshake(simulator, self.weights_port)
        self.next_vector += accepted
        self.next_partial += _handshake(simulator, "partials")
        valid = np.flatnonzero(_handshake(simulator, "results"))
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


def _handshake(simulator: GateLevelSimulator, stream: str) -> np.ndarray:
    """Lanes in which a beat of a stream moves, int64 [64].

    Raises:
        SynthesisError: it is not known whether one does.
    """
    return read_flag(simulator, f"{stream}__valid") & read_flag(simulator, f"{stream}__ready")


def read_flag(simulator: GateLevelSimulator, port: str) -> np.ndarray:
    """One bit of a port by lane, int64 [64].

    Raises:
        SynthesisError: it is not known.
    """
    if simulator.unknown_bits(port).any():
        raise SynthesisError(f"{port} depends on what registers held before reset")
    return unpack_lanes(simulator.get_port(port))[:, 0].astype(np.int64)
