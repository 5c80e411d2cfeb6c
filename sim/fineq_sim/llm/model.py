"""A language model whose linear layers an executor computes; attention, norms and sampling stay in torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from fineq.models.language_model import block_linears, get_weight
from fineq.quantizer.activations import quantize_activations
from fineq.quantizer.vectorised import quantize
from fineq_hw.interface.jobs import FRACTION_BITS
from fineq_sim.llm.executors import PHASES, Executor, QuantizedLayer

SAME_INPUT: tuple[tuple[str, ...], ...] = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers of a module that read the same activations: they go to the machine as one chain."""


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
        integers, scales = quantize_activations(rows)
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
        packed = quantize(get_weight(model, name).to(torch.float32), recipe=recipe, name=name)
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
