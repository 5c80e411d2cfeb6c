"""Jobs as the twin takes them: the sizes and addresses of descriptors, and how long each weight vector takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fineq.format.temporal import MAX_CYCLES, array_cycles
from fineq_hw.config import AcceleratorConfig, MacConfig, aligned
from fineq_hw.interface.descriptors import DESCRIPTOR_BYTES, inner_tiles, line_groups, region_bytes
from fineq_hw.interface.jobs import OutputFormat, result_bytes
from fineq_sim.reference.core_cycles import weight_vectors


@dataclass(frozen=True)
class TwinJob:
    """A linear layer in memory; the attributes but the first are fields of its descriptor.

    Attributes:
        descriptor: address of the descriptor.
        tokens, channels, inner: M, N, K.
        output_format: what is written.
        activations, weights, channel_parameters, token_parameters, destination: addresses.
        activation_stride, destination_stride: bytes from token to token.
    """

    descriptor: int
    tokens: int
    channels: int
    inner: int
    output_format: OutputFormat
    activations: int
    weights: int
    channel_parameters: int
    token_parameters: int
    destination: int
    activation_stride: int
    destination_stride: int

    @classmethod
    def of_descriptor(cls, address: int, fields: Mapping[str, int]) -> TwinJob:
        """Of a descriptor's fields; those that are not named are zero."""
        named = {name: int(fields.get(name, 0)) for name in cls.__dataclass_fields__}
        named.pop("descriptor")
        return cls(descriptor=address, output_format=OutputFormat(named.pop("output_format")), **named)

    def numbers(self, config: AcceleratorConfig) -> dict[str, int]:
        """The numbers of `FINEQ_JOB` (machine/constants.hpp) by name."""
        given = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("inner", "output_format")
        }
        return given | {
            "inner_tiles": inner_tiles(self.inner, config),
            "line_groups": line_groups(self.inner, config),
            "result_bytes": result_bytes(self.output_format),
            "plain": int(self.output_format is OutputFormat.SUMS),
            "narrow": int(self.output_format is OutputFormat.INT8),
        }


def place_jobs(
    config: AcceleratorConfig, sizes: Sequence[tuple[int, int, int, OutputFormat]], base: int = 0
) -> list[TwinJob]:
    """Jobs one behind the other in a memory, each with regions of its own, as a driver would lay them out.

    Args:
        config: the machine.
        sizes: M, N, K and output of each; K as descriptors have it.
        base: where the memory begins.
    """
    jobs, address = [], base
    for tokens, channels, inner, output in sizes:
        fields: dict[str, int] = {
            "tokens": tokens,
            "channels": channels,
            "inner": inner,
            "output_format": output,
            "activation_stride": inner_tiles(inner, config) * config.activation_tile_bytes,
            "destination_stride": aligned(channels * result_bytes(output)),
            "last": 1,
        }
        regions = region_bytes(fields, config)
        for region in ("weights", "channel_parameters", "activations", "destination", "token_parameters"):
            if region in regions:
                fields[region] = address
                address += aligned(regions[region])
        jobs.append(fields)
    return [TwinJob.of_descriptor(address + number * DESCRIPTOR_BYTES, fields) for number, fields in enumerate(jobs)]


def code_steps(codes: np.ndarray, config: AcceleratorConfig, early_termination: bool = True) -> np.ndarray:
    """Steps of each weight vector of a layer, uint8 [inner tiles, N].

    Args:
        codes: integer weights, [N, K].
        config: the machine.
        early_termination: as in the job.
    """
    if isinstance(config.array, MacConfig):
        return even_steps(inner_tiles(codes.shape[1], config), len(codes), 1)
    vectors = weight_vectors(codes, config.array)
    return array_cycles(vectors, config.array.encoding, early_termination).astype(np.uint8)


def even_steps(tiles: int, channels: int, steps: int) -> np.ndarray:
    """The same number of steps for each vector, uint8 [inner tiles, N]."""
    return np.full((tiles, channels), steps, dtype=np.uint8)


def longest_steps(config: AcceleratorConfig) -> int:
    """Steps of a vector without early termination."""
    return 1 if isinstance(config.array, MacConfig) else MAX_CYCLES[config.array.encoding]
