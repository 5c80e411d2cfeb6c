"""What the twin must know of a machine, taken from where the RTL has it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from amaranth.hdl import Signal

from fineq.format.temporal import MAX_CYCLES
from fineq_hw.accelerator import READ_CLIENTS
from fineq_hw.array.encodings.registry import encoding_of
from fineq_hw.config import ALIGNMENT, AcceleratorConfig, MacConfig
from fineq_hw.control.descriptor_contents import region_extents
from fineq_hw.control.tile_counts import TileCounts
from fineq_hw.dma.write_dma import OUTSTANDING_WRITES, gather_depth
from fineq_hw.interface.bus import PAGE_BYTES
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, FIELDS
from fineq_hw.interface.error_codes import REGIONS
from fineq_hw.interface.jobs import SIZE_BITS, OutputFormat, result_bytes
from fineq_hw.interface.records import CHANNEL_PARAMETERS, TOKEN_PARAMETERS, record_bytes
from fineq_hw.latencies import VECTOR_LANE_LATENCY, mac_array_latency

_CLIENTS = {
    "client_descriptor": "descriptor_unit",
    "client_activations": "input_buffer",
    "client_parameters": "parameter_buffer",
    "client_weights": "weight_buffer",
}
"""Clients of the read engine as the twin calls them, and as the machine does."""


def machine_constants(config: AcceleratorConfig) -> dict[str, int]:
    """The numbers of `FINEQ_CONSTANTS` (machine/constants.hpp) by name."""
    array = config.array
    return {
        "rows": array.rows,
        "channels_per_tile": config.channels_per_tile,
        "final_channels": config.final_channels,
        **_core(config),
        "bus_bytes": config.bus_bytes,
        "page_bytes": PAGE_BYTES,
        "max_burst_beats": config.max_burst_beats,
        "outstanding_reads": config.outstanding_reads,
        "outstanding_writes": OUTSTANDING_WRITES,
        "gather_depth": gather_depth(config),
        "addresses_ahead": int(config.addresses_ahead),
        "alignment": ALIGNMENT,
        "line_bytes": config.line_bytes,
        "line_slices": config.line_slices,
        "activation_tile_bytes": config.activation_tile_bytes,
        "token_tile_bytes": config.token_tile_bytes,
        "channel_bytes": record_bytes(CHANNEL_PARAMETERS),
        "token_bytes": record_bytes(TOKEN_PARAMETERS),
        "vector_lanes": config.vector_lanes,
        "vector_words": config.vector_words,
        "wide_bytes": result_bytes(OutputFormat.FIXED),
        "vector_lane_latency": VECTOR_LANE_LATENCY,
        "descriptor_bytes": DESCRIPTOR_BYTES,
        "quotient_cycles": SIZE_BITS,
        **{name: READ_CLIENTS.index(client) for name, client in _CLIENTS.items()},
        **{f"turn_{name}": turn for turn, name in enumerate(REGIONS)},
        **{f"after_{name}": quotients for name, quotients in quotients_needed(config).items()},
    }


def _core(config: AcceleratorConfig) -> dict[str, int]:
    """What tells the cores apart: `full_steps` is what a vector takes without early termination."""
    if isinstance(config.array, MacConfig):
        return {"mac": 1, "mac_latency": mac_array_latency(config.array), "full_steps": 1, "partial_in_last_step": 0}
    first, last = Signal(), Signal()
    partial_in_last_step = encoding_of(config.array).partial_step(first, last) is last
    steps = MAX_CYCLES[config.array.encoding]
    return {"mac": 0, "mac_latency": 0, "full_steps": steps, "partial_in_last_step": int(partial_in_last_step)}


@cache
def quotients_needed(config: AcceleratorConfig) -> Mapping[str, int]:
    """Quotients that the descriptor unit waits for before it works out each region."""
    fields = {name: Signal(field.width) for name, field in FIELDS.items()}
    extents = region_extents(fields, Signal(SIZE_BITS + 2), TileCounts(config), config)
    return MappingProxyType({name: extent.quotients for name, extent in extents.items()})
