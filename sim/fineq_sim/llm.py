"""A language model whose linear layers run on the accelerator: attention, norms and sampling stay on the host.

    compiled = compile_model(model, executor, recipe="paper")   # replaces the linear layers of every block
    generate(model, tokens, 16)

Activations are quantized to int8 per token (`fineq.quantize_activations`), the executor makes the integer sums,
and the host multiplies with both scales in float32. Executors: `SoftwareExecutor` is the integer reference,
`AcceleratorExecutor` a machine behind the driver, every result of which is compared with the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

import fineq
from fineq.models import block_linears, get_weight
from fineq.packed import PackedWeight
from fineq_hw.accelerator_layouts import FRACTION_BITS, OutputFormat
from fineq_sim.driver import Accelerator, Counters, Job, Linear
from fineq_sim.vector_reference import VectorSettings, fixed_point_scales, to_fixed, vector_unit

SAME_INPUT: tuple[tuple[str, ...], ...] = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers of a module that read the same activations: they go to the machine as one chain."""

PHASES = ("prefill", "decode")


class LayerMismatch(RuntimeError):
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

    def prepare(self, layer: QuantizedLayer) -> None:
        """Nothing to prepare."""

    def run(self, layers: Sequence[QuantizedLayer], activations: np.ndarray, scales: np.ndarray) -> list[np.ndarray]:
        return [self._layer(layer, activations, scales) for layer in layers]

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
                total.add(share.counters, share.products)
                total.runs += share.runs - 1
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
        self.phase = PHASES[0]
        self._reference = SoftwareExecutor(output)
        self._loaded: dict[str, Linear] = {}

    def prepare(self, layer: QuantizedLayer) -> None:
        self._loaded[layer.name] = self.machine.load_linear(layer.packed, layer.bias, layer.name)

    def run(self, layers: Sequence[QuantizedLayer], activations: np.ndarray, scales: np.ndarray) -> list[np.ndarray]:
        """As `Executor.run`.

        Raises:
            LayerMismatch: a result differs from the reference, with its place.
            AcceleratorError: the machine cannot run the layer.
        """
        jobs = [
            Job(self._loaded[layer.name], activations, scales, self.output, early_termination=self.early_termination)
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
            self.statistics.layers_compared += 1
            self.statistics.values_compared += expected.size
        kind = ", ".join(layer.name.rpartition(".")[2].removesuffix("_proj") for layer in layers)
        products = sum(len(activations) * layer.codes.size for layer in layers)
        self.statistics.shares.setdefault((self.phase, kind), Share()).add(results[0].counters, products)
        return [result.values for result in results]


# -- the model -------------------------------------------------------------------------------------------------


class _Group:
    """Layers that read the same activations; run together when the first of them is called."""

    def __init__(self, layers: Sequence[QuantizedLayer], executor: Executor, output: str) -> None:
        self.layers, self.executor, self.output = list(layers), executor, output
        self._input: Tensor | None = None
        self._outputs: list[Tensor] = []

    def forward(self, position: int, x: Tensor) -> Tensor:
        if x is not self._input:
            self._outputs, self._input = self._run(x), x
        return self._outputs[position]

    def _run(self, x: Tensor) -> list[Tensor]:
        rows = x.detach().reshape(-1, x.shape[-1])
        integers, scales = fineq.quantize_activations(rows)
        outputs = []
        for layer, values in zip(
            self.layers, self.executor.run(self.layers, integers.numpy(), scales.numpy()), strict=True
        ):
            y = torch.from_numpy(values).to(torch.float32)
            if self.output == "sums":
                y = y * scales[:, None] * layer.packed.scales
                y = y if layer.bias is None else y + torch.from_numpy(layer.bias)
            else:
                y = y / 2**FRACTION_BITS
            outputs.append(y.reshape(*x.shape[:-1], -1))
        return outputs


class ExecutedLinear(nn.Module):
    """Stands where the model had a linear layer; one of a group."""

    def __init__(self, group: _Group, position: int) -> None:
        super().__init__()
        self._group, self._position = group, position

    def forward(self, x: Tensor) -> Tensor:
        """float32 [..., K] to [..., N]."""
        return self._group.forward(self._position, x)


def quantize_layers(
    model: PreTrainedModel, recipe: str = "paper", progress: Callable[[str], None] = lambda name: None
) -> list[QuantizedLayer]:
    """Quantize every linear layer of the blocks.

    Raises:
        ValueError: a block keeps its weights in something else than `nn.Linear`.
    """
    layers = []
    for name in block_linears(model):
        module = dict(model.named_modules()).get(name)
        if not isinstance(module, nn.Linear):
            raise ValueError(
                f"{name} is no plain linear layer: the accelerator runs LLaMA-style models, whose blocks have "
                "nothing else"
            )
        progress(name)
        packed = fineq.quantize(get_weight(model, name).to(torch.float32), recipe=recipe, name=name)
        bias = None if module.bias is None else module.bias.detach().to(torch.float32).numpy()
        layers.append(QuantizedLayer(name, packed, packed.codes().numpy(), bias))
    return layers


def install(model: PreTrainedModel, layers: Sequence[QuantizedLayer], executor: Executor, output: str = "sums") -> int:
    """Let an executor compute the layers of a model, in place of what computed them before.

    Args:
        model: whose modules are replaced.
        layers: from `quantize_layers`.
        executor: computes them.
        output: what the executor's results are: `sums` or `fixed`.

    Returns:
        Chains of descriptors for one pass through the model.
    """
    by_name = {layer.name: layer for layer in layers}
    chains = 0
    while by_name:
        name = next(iter(by_name))
        parent, _, leaf = name.rpartition(".")
        together = next((group for group in SAME_INPUT if leaf in group), (leaf,))
        members = [by_name.pop(f"{parent}.{each}") for each in together if f"{parent}.{each}" in by_name]
        group = _Group(members, executor, output)
        for position, layer in enumerate(members):
            executor.prepare(layer)
            model.set_submodule(layer.name, ExecutedLinear(group, position))
        chains += 1
    return chains


def greedy(logits: Tensor) -> int:
    """The most likely token; the first of equals."""
    return int(logits.argmax())


def sampler(temperature: float, seed: int) -> Callable[[Tensor], int]:
    """Draws from the softmax of logits / temperature, the same tokens for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def draw(logits: Tensor) -> int:
        return int(torch.multinomial((logits.double() / temperature).softmax(-1), 1, generator=generator))

    return draw


@torch.no_grad()
def generate(
    model: PreTrainedModel,
    prompt: Sequence[int],
    count: int,
    choose: Callable[[Tensor], int] = greedy,
    phase: Callable[[str], None] = lambda name: None,
) -> Iterator[int]:
    """Continue a prompt token by token: one pass over the whole prompt, then one token at a time.

    Args:
        model: its layers may be anybody's.
        prompt: token numbers.
        count: tokens to generate.
        choose: next token from logits [vocabulary].
        phase: told which of `PHASES` begins.
    """
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([list(prompt)])
    for number in range(count):
        phase(PHASES[min(number, 1)])
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0, -1]
        token = choose(logits.to(torch.float32))
        yield token
        ids = torch.tensor([[token]])
