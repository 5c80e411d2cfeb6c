"""What computes the integer part of a model's linear layers: the reference in numpy, or a machine and the reference."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fineq.common.errors import UserError
from fineq.quantizer.packed import PackedWeight
from fineq_hw.interface.jobs import OutputFormat
from fineq_sim.driver import Accelerator, Counters, Job, Linear
from fineq_sim.reference.vector_unit import VectorSettings, fixed_point_scales, to_fixed, vector_unit

PHASES = ("prefill", "decode")


class LayerMismatch(UserError, RuntimeError):
    """A layer's result differs from the integer reference."""


@dataclass(frozen=True, eq=False)
class QuantizedLayer:
    """A linear layer as the executors see it.

    Attributes:
        name: in the model.
        packed: weights [N, K].
        codes: the integers of `packed`, int8 [N, K].
        bias: float32 [N], or None.
    """

    name: str
    packed: PackedWeight
    codes: np.ndarray
    bias: np.ndarray | None


class Executor(Protocol):
    """What computes the integer part of linear layers."""

    def prepare(self, layer: QuantizedLayer) -> None:
        """Told of every layer before the first run."""

    def run(self, layers: Sequence[QuantizedLayer], activations: np.ndarray, scales: np.ndarray) -> list[np.ndarray]:
        """int32 [M, N] for each layer, from int8 [M, K] and float32 [M]."""


class SoftwareExecutor:
    """The integer reference.

    Args:
        output: `sums`, or `fixed` for what the machine's vector unit makes of them.
    """

    def __init__(self, output: str = "sums") -> None:
        self.output = output
        self.digest = hashlib.sha256()
        """Of all results so far, in the order of the runs."""

    def prepare(self, layer: QuantizedLayer) -> None:
        """Nothing to prepare."""

    def run(self, layers: Sequence[QuantizedLayer], activations: np.ndarray, scales: np.ndarray) -> list[np.ndarray]:
        values = [self._layer(layer, activations, scales) for layer in layers]
        for each in values:
            self.digest.update(each.data)
        return values

    def _layer(self, layer: QuantizedLayer, activations: np.ndarray, scales: np.ndarray) -> np.ndarray:
        # Integers far below 2^53: exact in float64.
        sums = (activations.astype(np.float64) @ layer.codes.astype(np.float64).T).astype(np.int32)
        if self.output == "sums":
            return sums
        bias = 0 if layer.bias is None else to_fixed(layer.bias)
        channels, tokens = fixed_point_scales(layer.packed.scales.numpy()), fixed_point_scales(scales)
        return vector_unit(VectorSettings(OutputFormat[self.output.upper()]), sums, *channels, bias, *tokens)


@dataclass
class Share:
    """What layers of one kind took in one phase."""

    runs: int = 0
    products: int = 0
    counters: Counters | None = None

    def add(self, counters: Counters, products: int) -> None:
        self.runs += 1
        self.products += products
        self.counters = counters if self.counters is None else self.counters + counters

    def __add__(self, other: Share) -> Share:
        known = [each.counters for each in (self, other) if each.counters is not None]
        return Share(
            self.runs + other.runs,
            self.products + other.products,
            known[0] + known[1] if len(known) == 2 else next(iter(known), None),
        )


@dataclass
class Statistics:
    """Counters by phase and by kind of layer, and what was compared."""

    shares: dict[tuple[str, str], Share] = field(default_factory=dict)
    layers_compared: int = 0
    values_compared: int = 0

    def total(self, phase: str | None = None, kind: str | None = None) -> Share:
        """Sum over phases and kinds; None: all."""
        total = Share()
        for (each_phase, each_kind), share in self.shares.items():
            if phase in (None, each_phase) and kind in (None, each_kind):
                total = total + share
        return total

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for _, kind in self.shares))


class AcceleratorExecutor:
    """A machine behind the driver; every result is compared with the integer reference.

    Args:
        machine: the accelerator.
        output: `sums` or `fixed`.
        early_termination: of the array.
    """

    def __init__(self, machine: Accelerator, output: str = "sums", early_termination: bool = True) -> None:
        self.machine, self.output, self.early_termination = machine, output, early_termination
        self.statistics = Statistics()
        self.digest = hashlib.sha256()
        self.phase = PHASES[0]
        self._reference = SoftwareExecutor(output)
        self.loaded: dict[str, Linear] = {}

    def prepare(self, layer: QuantizedLayer) -> None:
        self.loaded[layer.name] = self.machine.load_linear(layer.packed, layer.bias, layer.name)

    def run(self, layers: Sequence[QuantizedLayer], activations: np.ndarray, scales: np.ndarray) -> list[np.ndarray]:
        """As `Executor.run`.

        Raises:
            LayerMismatch: a result differs from the reference, with its place.
            AcceleratorError: the machine cannot run the layer.
        """
        jobs = [
            Job(self.loaded[layer.name], activations, scales, self.output, early_termination=self.early_termination)
            for layer in layers
        ]
        results = self.machine.run_chain(jobs)
        for layer, got, expected in zip(layers, results, self._reference.run(layers, activations, scales), strict=True):
            wrong = np.argwhere(got.values != expected)
            if len(wrong):
                token, channel = wrong[0].tolist()
                raise LayerMismatch(
                    f"{layer.name} differs from the integer reference at {len(wrong)} of {expected.size} places, first "
                    f"at token {token}, output channel {channel}: {got.values[token, channel]}, expected "
                    f"{expected[token, channel]}"
                )
            self.digest.update(got.values.data)
            self.statistics.layers_compared += 1
            self.statistics.values_compared += expected.size
        kind = ", ".join(layer.name.rpartition(".")[2].removesuffix("_proj") for layer in layers)
        products = sum(len(activations) * layer.codes.size for layer in layers)
        self.statistics.shares.setdefault((self.phase, kind), Share()).add(results[0].counters, products)
        return [result.values for result in results]
