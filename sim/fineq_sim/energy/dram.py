"""What a bit from or to DRAM takes: published figures, at least two, since nobody's DRAM is ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DramEnergy:
    """A published figure.

    Attributes:
        name: for tables.
        picojoules_per_bit: reads and writes alike.
        source: who says so.
    """

    name: str
    picojoules_per_bit: float
    source: str


PUBLISHED: tuple[DramEnergy, ...] = (
    DramEnergy(
        "DRAM low",
        3.92,
        "HBM2: M. O'Connor et al., Fine-Grained DRAM: Energy-Efficient DRAM for Extreme Bandwidth Systems, MICRO 2017, "
        "doi:10.1145/3123939.3124545, section 2: an access with the average of 1.21 pJ for activation, ECC included",
    ),
    DramEnergy(
        "DRAM high",
        18.75,
        "1200 pJ for 64 bits: bitmod_sim/accelerator.py of the simulator of Y. Chen et al., BitMoD, HPCA 2025",
    ),
)
