"""The memory image: how activations, weights, scales and results lie in device memory (docs/hardware/driver.md).

Each `..._image` builds the bytes that the hardware reads, each `read_...` takes bytes apart again. All are whole-array
numpy operations. Sizes come from `AcceleratorConfig` and records from `fineq_hw.interface.records`; nothing is
repeated here.
"""

from __future__ import annotations

import numpy as np

import fineq.format as block_format
from fineq.format.temporal import input_order
from fineq_hw.config import AcceleratorConfig, ArrayConfig, MacConfig, aligned
from fineq_hw.interface.descriptors import inner_tiles
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, Record, record_bytes
from fineq_sim.reference import layer_partition

_SIGN = 1 << block_format.MAGNITUDE_BITS
"""Sign bit of a decoded weight, above its magnitude."""


def record_type(record: Record) -> np.dtype:
    """numpy type of a record in memory.

    Raises:
        ValueError: a field is not a whole number of bytes.
    """
    for field in record:
        if field.width not in (8, 16, 32) or field.offset % 8:
            raise ValueError(f"field {field.name} of a record in memory has {field.width} bits from bit {field.offset}")
    return np.dtype(
        {
            "names": [field.name for field in record],
            "formats": [f"<{'i' if field.signed else 'u'}{field.width // 8}" for field in record],
            "offsets": [field.offset // 8 for field in record],
            "itemsize": record_bytes(record),
        }
    )


CHANNEL_RECORD = record_type(CHANNEL_PARAMETERS)
TOKEN_RECORD = record_type(TOKEN_PARAMETERS)


def _line_order(config: AcceleratorConfig) -> np.ndarray | None:
    """Which weight of a line stands in each column of its vectors; None: in order."""
    if isinstance(config.array, MacConfig):
        return None
    order = np.array(config.array.line_order)
    return None if (np.diff(order) > 0).all() else order


def stored_inner(inner: int, config: AcceleratorConfig) -> int:
    """K as descriptors have it: more where the array takes one more vector for a row than its columns ask for."""
    tiles = layer_partition.inner_tiles(inner, config.array)
    return inner if tiles == inner_tiles(inner, config) else tiles * config.array.columns


# -- activations -----------------------------------------------------------------------------------------------


def activation_image(config: AcceleratorConfig, activations: np.ndarray) -> np.ndarray:
    """int8 [M, K] to uint8: token after token, every tile of inputs padded to the alignment."""
    tokens, inner = activations.shape
    columns, tiles = config.array.columns, inner_tiles(stored_inner(inner, config), config)
    padded = np.zeros((tokens, tiles * columns), dtype=np.int8)
    if _line_order(config) is None:
        padded[:, :inner] = activations
    else:
        assert isinstance(config.array, ArrayConfig), "a MAC array takes its inputs in order"
        order = input_order(inner, columns, config.array.encoding).reshape(-1)
        padded[:, order >= 0] = activations[:, order[order >= 0]]
    image = np.zeros((tokens, tiles, config.activation_tile_bytes), dtype=np.int8)
    image[:, :, :columns] = padded.reshape(tokens, tiles, columns)
    return image.view(np.uint8).reshape(-1)


def read_activations(config: AcceleratorConfig, rows: np.ndarray, tiles: int) -> np.ndarray:
    """uint8 [M, at least tiles * activation_tile_bytes] to int8 [M, tiles * columns]."""
    width = config.activation_tile_bytes
    parts = np.ascontiguousarray(rows[:, : tiles * width]).view(np.int8).reshape(len(rows), tiles, width)
    return parts[:, :, : config.array.columns].reshape(len(rows), -1)


# -- weights ---------------------------------------------------------------------------------------------------


def weight_lines(config: AcceleratorConfig, weights: np.ndarray, inner: int) -> np.ndarray:
    """The lines of every output channel, uint8 [N, line groups, line_bytes].

    Args:
        config: the accelerator.
        weights: packed blocks, uint8 [N, bytes of a row], for a temporal-coding array; integers [N, K] for a MAC
            array (-128..127, or -3..3 with 3-bit weights).
        inner: K.
    """
    if isinstance(config.array, MacConfig):
        return _mac_lines(config, weights)
    return layer_partition.weight_lines(weights, inner, config.array)


def _mac_lines(config: AcceleratorConfig, codes: np.ndarray) -> np.ndarray:
    array, (channels, inner) = config.array, codes.shape
    assert isinstance(array, MacConfig)
    tiles = inner_tiles(inner, config)
    padded = np.zeros((channels, tiles * array.columns), dtype=np.int16)
    padded[:, :inner] = codes
    if not array.signed_weights:
        padded = np.where(padded < 0, _SIGN - padded, padded)
    fields = padded.astype(np.uint8).reshape(channels, tiles, array.columns, 1)
    bits = np.unpackbits(fields, axis=-1, count=array.weight_bits, bitorder="little")
    return np.packbits(bits.reshape(channels, tiles, -1), axis=-1, bitorder="little")


def read_weight_lines(config: AcceleratorConfig, lines: np.ndarray) -> np.ndarray:
    """What the decoders make of lines, int8 [N, line groups * line_slices * columns] in the order of the columns."""
    array = config.array
    if not isinstance(array, MacConfig):
        row = np.ascontiguousarray(lines).reshape(len(lines), -1)
        weights = row.shape[1] // block_format.BLOCK_BYTES * block_format.BLOCK_WEIGHTS
        codes, order = block_format.unpack(row, weights, strict=False), _line_order(config)
        return codes if order is None else codes.reshape(len(lines), -1, len(order))[:, :, order].reshape(codes.shape)
    bits = np.unpackbits(lines, axis=-1, count=array.columns * array.weight_bits, bitorder="little")
    fields = np.packbits(bits.reshape(-1, array.weight_bits), axis=-1, bitorder="little").astype(np.int16)[:, 0]
    if not array.signed_weights:
        fields = np.where(fields & _SIGN, -(fields & (_SIGN - 1)), fields)
    return fields.astype(np.int8).reshape(len(lines), -1)


def _channel_tiles(config: AcceleratorConfig, channels: int) -> list[tuple[int, int]]:
    step = config.channels_per_tile
    return [(first, min(step, channels - first)) for first in range(0, channels, step)]


def weight_image(config: AcceleratorConfig, weights: np.ndarray, inner: int) -> np.ndarray:
    """Weights in the order in which the hardware streams them, uint8; arguments: see `weight_lines`.

    For each tile of channels and each line group: one line of every channel, the whole padded to the alignment.
    """
    lines = weight_lines(config, weights, inner)
    chunks = []
    for first, count in _channel_tiles(config, len(lines)):
        part = lines[first : first + count].transpose(1, 0, 2).reshape(lines.shape[1], -1)
        chunks.append(np.pad(part, ((0, 0), (0, config.weight_chunk_bytes(count) - part.shape[1]))).reshape(-1))
    return np.concatenate(chunks)


def read_weight_image(config: AcceleratorConfig, image: np.ndarray, channels: int, groups: int) -> np.ndarray:
    """The integers of a weight image, int8 [N, groups * line_slices * columns]."""
    lines, start = np.empty((channels, groups, config.line_bytes), dtype=np.uint8), 0
    for first, count in _channel_tiles(config, channels):
        size = groups * config.weight_chunk_bytes(count)
        part = image[start : start + size].reshape(groups, -1)[:, : count * config.line_bytes]
        lines[first : first + count] = part.reshape(groups, count, -1).transpose(1, 0, 2)
        start += size
    return read_weight_lines(config, lines)


# -- scales ----------------------------------------------------------------------------------------------------


def channel_image(multipliers: np.ndarray, shifts: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Records of the output channels, uint8: weight scale = multiplier / 2^shift, bias in 1 / 2^FRACTION_BITS."""
    records = np.zeros(len(multipliers), dtype=CHANNEL_RECORD)
    records["multiplier"], records["shift"], records["bias"] = multipliers, shifts, biases
    return records.view(np.uint8)


def read_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Records of type `CHANNEL_RECORD`, [N]."""
    return image[: channels * CHANNEL_RECORD.itemsize].view(CHANNEL_RECORD)


def token_image(config: AcceleratorConfig, multipliers: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Records of the tokens, uint8: activation scale = multiplier / 2^shift."""
    tokens, rows = len(multipliers), config.array.rows
    tiles = -(-tokens // rows)
    records = np.zeros((tiles, config.token_tile_bytes // TOKEN_RECORD.itemsize), dtype=TOKEN_RECORD)
    number = np.arange(tokens)
    records["multiplier"][number // rows, number % rows] = multipliers
    records["shift"][number // rows, number % rows] = shifts
    return records.view(np.uint8).reshape(-1)


def read_tokens(config: AcceleratorConfig, image: np.ndarray, tokens: int) -> np.ndarray:
    """Records of type `TOKEN_RECORD`, [M]."""
    records = image.view(TOKEN_RECORD).reshape(-1, config.token_tile_bytes // TOKEN_RECORD.itemsize)
    return records[:, : config.array.rows].reshape(-1)[:tokens]


# -- results ---------------------------------------------------------------------------------------------------


def result_stride(channels: int, element: np.dtype) -> int:
    """Bytes from one token of the result to the next."""
    return aligned(channels * element.itemsize)


def read_results(image: np.ndarray, tokens: int, channels: int, stride: int, element: np.dtype) -> np.ndarray:
    """[M, N] of type `element` from rows `stride` bytes apart."""
    rows = image.reshape(tokens, stride)[:, : channels * element.itemsize]
    return np.ascontiguousarray(rows).view(element)
