"""What the driver takes and gives: layers in device memory, jobs, counters, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fineq_sim.driver.exceptions import AcceleratorError
from fineq_sim.driver.split import Part


@dataclass(frozen=True)
class StoredPart(Part):
    """A part of a layer in device memory.

    Attributes:
        weights, parameters: addresses of the weight image and of the channels' records.
        image_bytes: size of the weight image.
    """

    weights: int
    parameters: int
    image_bytes: int


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer in device memory; made by `Accelerator.load_linear`.

    Attributes:
        name: for messages.
        channels, inner: N and K.
        parts: one, or as many as its size asks for.
    """

    name: str
    channels: int
    inner: int
    parts: tuple[StoredPart, ...]

    @property
    def image_bytes(self) -> int:
        """Size of the weight images."""
        return sum(part.image_bytes for part in self.parts)

    @property
    def adds_on_host(self) -> bool:
        """K is cut: the machine gives sums of parts; adding, scaling and functions are the driver's."""
        return any(part.inputs.start for part in self.parts)


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a layer.

    Attributes:
        layer: in device memory.
        activations: int8 [M, K]. Jobs of a chain that share the same array share its copy in device memory.
        scales: float [M], scale of each token; needed for `fixed` and `int8`.
        output: `sums`: the integer sums; `fixed`: scaled, biased, through the function; `int8`: requantized as well.
        function: `none`, `relu`, `silu` or `gelu`; not with `sums`.
        output_scale: what one step of an `int8` result stands for.
        early_termination: stop each weight vector after its largest magnitude.
    """

    layer: Linear
    activations: np.ndarray
    scales: np.ndarray | None = None
    output: str = "sums"
    function: str = "none"
    output_scale: float | None = None
    early_termination: bool = True


@dataclass(frozen=True)
class Counters:
    """Performance counters of a run, by the names of `fineq_hw.interface.registers.COUNTERS`.

    Attributes:
        values: by name.
        cycle_accurate: False: made by a model without time; then `cycles` is None and no stall is known.
    """

    values: Mapping[str, int]
    cycle_accurate: bool

    def __getitem__(self, name: str) -> int:
        return self.values[name]

    @property
    def cycles(self) -> int | None:
        return self.values["cycles"] if self.cycle_accurate else None

    def busy_share(self, stage: str) -> float | None:
        """Share of the cycles in which a stage of `fineq_hw.interface.registers.STAGES` was busy."""
        return self.values[f"{stage}_busy"] / self.values["cycles"] if self.cycles else None

    def __add__(self, other: Counters) -> Counters:
        values = {name: value + other.values[name] for name, value in self.values.items()}
        return Counters(values, self.cycle_accurate and other.cycle_accurate)


@dataclass(frozen=True, eq=False)
class Result:
    """What a job has left in memory.

    Attributes:
        values: int32 [M, N], or int8.
        step: what one unit of `values` stands for; None for sums.
        counters: of the run, or of the whole chain that the job was part of.
    """

    values: np.ndarray
    step: float | None
    counters: Counters = field(repr=False)

    @property
    def real(self) -> np.ndarray:
        """The result as real numbers, float64 [M, N]."""
        if self.step is None:
            raise AcceleratorError("sums have no unit: multiply with the scales, or ask for the output `fixed`")
        return self.values * self.step
