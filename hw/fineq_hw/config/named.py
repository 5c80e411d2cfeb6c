"""Every configuration that has a name: a size is changed here and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from fineq.format.temporal import ENCODINGS
from fineq_hw.config.accelerator import AcceleratorConfig
from fineq_hw.config.array import ArrayConfig, name_part
from fineq_hw.config.mac import MAC_WEIGHT_PATHS, MacConfig

_VARIANTS: dict[str, ArrayConfig] = {
    "": ArrayConfig(),
    "_latch": ArrayConfig(activation_storage="latch"),
    "_column": ArrayConfig(sign_handling="column"),
    "_column_latch": ArrayConfig(sign_handling="column", activation_storage="latch"),
} | {
    "_" + name_part(encoding): ArrayConfig(encoding=encoding, sign_handling="column", activation_storage="latch")
    for encoding in ENCODINGS
    if encoding != ArrayConfig.encoding
}
"""Ends of names: the paper's array, then each encoding at its smallest."""

ARRAYS: dict[str, ArrayConfig] = {
    f"fineq_{rows}x{columns}{suffix}": replace(variant, rows=rows, columns=columns)
    for rows, columns in ((64, 64), (16, 16), (5, 7))
    for suffix, variant in _VARIANTS.items()
} | {"fineq_8x24": ArrayConfig(rows=8, columns=24)}
"""Temporal-coding arrays by name."""

_GENERIC_BITS = (3, 8)
"""Weight widths of the MAC arrays whose multipliers are left to synthesis."""

_DIGITS: tuple[tuple[int, str, int], ...] = (
    (3, "systolic", 1),
    *((3, "broadcast", columns) for columns in (1, 2, 4, 8)),
    (4, "broadcast", 4),
    (8, "broadcast", 1),
    (8, "broadcast", 4),
)
"""Weight bits, weight path and columns between registers of the MAC arrays that are built by hand, smallest storage."""


def _mac(rows: int, columns: int, bits: int, path: str, storage: str) -> MacConfig:
    return MacConfig(
        rows=rows,
        columns=columns,
        weight_bits=bits,
        accumulator_bits=32 if bits == 8 else 24,
        weight_path=path,
        activation_storage=storage,
    )


MACS: dict[str, MacConfig] = {
    f"mac8x{bits}_{rows}x{columns}{'' if path == 'systolic' else '_' + path}{suffix}": _mac(
        rows, columns, bits, path, storage
    )
    for suffix, storage in (("", "gated-flop"), ("_latch", "latch"))
    for rows, columns in ((64, 64), (16, 16), (5, 7))
    for bits in _GENERIC_BITS
    for path in MAC_WEIGHT_PATHS
} | {
    f"mac8x{bits}_{rows}x{columns}_{path}_digits_{every}_latch": replace(
        _mac(rows, columns, bits, path, "latch"), multiplier="digits", register_columns=every
    )
    for rows, columns in ((64, 64), (16, 16), (5, 7))
    for bits, path, every in _DIGITS
    if every <= columns
}
"""MAC baselines by name, such as `mac8x3_64x64`, `mac8x8_16x16_broadcast_latch` or, built by hand,
`mac8x3_64x64_broadcast_digits_8_latch`.
"""

ACCELERATORS: dict[str, AcceleratorConfig] = {
    "accelerator_64x64": AcceleratorConfig(ARRAYS["fineq_64x64"], vector_words=2),
    "accelerator_16x16": AcceleratorConfig(ARRAYS["fineq_16x16"], channels_per_tile=64, final_channels=32),
    "accelerator_8x24": AcceleratorConfig(
        ARRAYS["fineq_8x24"], bus_bits=64, channels_per_tile=32, final_channels=16, outstanding_reads=4
    ),
    "accelerator_5x7": AcceleratorConfig(
        ARRAYS["fineq_5x7_column"],
        bus_bits=64,
        channels_per_tile=16,
        final_channels=16,
        max_burst_beats=4,
        outstanding_reads=2,
    ),
    "accelerator_5x7_cluster": AcceleratorConfig(
        ARRAYS["fineq_5x7_cluster"], bus_bits=64, channels_per_tile=32, final_channels=16, outstanding_reads=2
    ),
    "mac8x8_accelerator_64x64": AcceleratorConfig(MACS["mac8x8_64x64_broadcast"], vector_words=2),
    "mac8x3_accelerator_64x64": AcceleratorConfig(MACS["mac8x3_64x64_broadcast"], vector_words=2),
    "mac8x8_accelerator_5x7": AcceleratorConfig(
        MACS["mac8x8_5x7"], bus_bits=64, channels_per_tile=16, final_channels=16, max_burst_beats=4, outstanding_reads=2
    ),
    "mac8x3_accelerator_16x16": AcceleratorConfig(
        MACS["mac8x3_16x16_broadcast"], channels_per_tile=64, final_channels=32
    ),
    "mac8x3_digits_accelerator_16x16": AcceleratorConfig(
        MACS["mac8x3_16x16_broadcast_digits_8_latch"], channels_per_tile=32, final_channels=32
    ),
}
"""Whole accelerators by name; those with a MAC array are the baseline."""
