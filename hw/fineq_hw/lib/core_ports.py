"""Data layouts that several components share, and the ports of the cores (docs/hardware/array.md).

Structs are packed with the first field in the lowest bits, so a testbench can build a payload by shifting.
"""

from __future__ import annotations

from amaranth.hdl import Shape, signed
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Member, Out

from fineq.format import MAGNITUDE_BITS
from fineq_hw.config import ArrayConfig, MacConfig

weight_layout = data.StructLayout({"magnitude": MAGNITUDE_BITS, "sign": 1})
"""A decoded weight, padded to the outlier width: sign-magnitude, sign on top (paper Fig. 6)."""


def weight_vector_layout(config: ArrayConfig | MacConfig) -> data.ArrayLayout:
    """One weight per column; an 8-bit MAC array takes two's complement instead of sign-magnitude."""
    if config.signed_weights:
        return data.ArrayLayout(signed(config.weight_bits), config.columns)
    return data.ArrayLayout(weight_layout, config.columns)


def activation_vector_layout(config: ArrayConfig | MacConfig) -> data.ArrayLayout:
    """One row of the stationary tile: one signed activation per column."""
    return data.ArrayLayout(signed(config.activation_bits), config.columns)


def sums_layout(config: ArrayConfig | MacConfig) -> data.ArrayLayout:
    """One signed partial sum per row; also the payload of the `partials` stream."""
    return data.ArrayLayout(signed(config.accumulator_bits), config.rows)


def activations_payload(config: ArrayConfig | MacConfig) -> data.StructLayout:
    """`activations` stream: row 0 first; `last` ends the preload before all rows are filled."""
    return data.StructLayout({"values": activation_vector_layout(config), "last": 1})


def weights_payload(config: ArrayConfig | MacConfig) -> data.StructLayout:
    """`weights` stream: one vector per output channel; `last` asks for a new activation tile afterwards."""
    return data.StructLayout({"values": weight_vector_layout(config), "accumulate": 1, "last": 1})


def lines_payload(config: ArrayConfig) -> data.StructLayout:
    """`lines` stream: a packed weight-buffer line and which of its weight vectors to use."""
    return data.StructLayout(
        {
            "line": config.line_bytes * 8,
            "slice": Shape.cast(range(config.line_slices)),
            "accumulate": 1,
            "last": 1,
        }
    )


def results_payload(config: ArrayConfig | MacConfig) -> data.StructLayout:
    """`results` stream: the sums of one weight vector; `last` repeats the vector's `last`."""
    return data.StructLayout({"sums": sums_layout(config), "last": 1})


def core_ports(config: ArrayConfig | MacConfig, *, packed: bool = False) -> dict[str, Member]:
    """Ports of a core: its streams, and for a temporal array the control of early termination.

    Args:
        config: array of the core.
        packed: weights come packed, as `lines` in place of `weights`.
    """
    if packed:
        assert isinstance(config, ArrayConfig), "a MAC array takes no packed lines"
        weights = {"lines": lines_payload(config)}
    else:
        weights = {"weights": weights_payload(config)}
    taken = {"activations": activations_payload(config)} | weights | {"partials": sums_layout(config)}
    ports = {name: In(stream.Signature(payload)) for name, payload in taken.items()}
    ports["results"] = Out(stream.Signature(results_payload(config)))
    if isinstance(config, ArrayConfig):
        ports |= {"early_termination": In(1), "computing": Out(1)}
    return ports
