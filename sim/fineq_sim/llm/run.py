"""The whole run of `make sim-llm`: a model, a prompt, a machine, and three ways to say the same text."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from fineq.common.errors import FineqError
from fineq.evaluation.perplexity import tokenize
from fineq.huggingface.linear import FineqLinear
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq_hw.config import AcceleratorConfig
from fineq_sim.driver import Accelerator, FunctionalTransport, VerilatedTransport
from fineq_sim.driver.transport import find_accelerator
from fineq_sim.llm.executors import AcceleratorExecutor, QuantizedLayer, SoftwareExecutor, Statistics
from fineq_sim.llm.model import generate, install, quantize_layers
from fineq_sim.llm.settings import Settings

TRANSPORTS = {"verilated": VerilatedTransport, "functional": FunctionalTransport}

_SPARE_MEMORY = 1 << 24
"""Bytes of device memory beside the weights: activations, results, descriptors."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out.

    Attributes:
        model: its name.
        prompt, text: as text.
        prompt_tokens, generated: token numbers.
        statistics: of the machine.
        digest: SHA-256 of all results of all layers.
        chains: of descriptors in one pass through the model.
        layers: linear layers in the model.
        image_bytes: of all weight images.
        software_same: the integer reference alone gives the same tokens and the same digest.
        packed_same: tokens at the beginning that `fineq.huggingface` gives as well, whose activations are floats.
        packed_text: its text.
    """

    settings: Settings
    config: AcceleratorConfig
    model: str
    prompt: str
    text: str
    prompt_tokens: tuple[int, ...]
    generated: tuple[int, ...]
    statistics: Statistics
    digest: str
    chains: int
    layers: int
    image_bytes: int
    software_same: bool
    packed_same: int
    packed_text: str


@dataclass(frozen=True)
class Step:
    """Progress after a token.

    Attributes:
        number: of the token, from 1.
        piece: its text.
        cycles: of the machine for it, None if it has no time.
        seconds_left: at the pace so far.
    """

    number: int
    piece: str
    cycles: int | None
    seconds_left: float


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, text: str, count: int) -> list[int]:
    """The first `count` tokens of a text, with the token that begins a text if the model has one.

    Raises:
        ValueError: the text is shorter.
    """
    ids = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids += tokenize(tokenizer, text).tolist()
    if len(ids) < count:
        raise FineqError(f"the prompt has {len(ids)} tokens: give a longer one, or --prefill {len(ids)}")
    return ids[:count]


def with_packed_layers(model: PreTrainedModel, layers: Sequence[QuantizedLayer]) -> PreTrainedModel:
    """Put the packed layers of `fineq.huggingface` into a model: integer weights, float activations."""
    for layer in layers:
        rows, inner = layer.packed.shape
        module = FineqLinear(inner, rows, layer.bias is not None)
        module.fineq_blocks, module.fineq_scales = layer.packed.blocks, layer.packed.scales
        if layer.bias is not None:
            assert module.bias is not None
            module.bias.data = torch.from_numpy(layer.bias)
        model.set_submodule(layer.name, module)
    return model


def _memory_size(layers: Sequence[QuantizedLayer], config: AcceleratorConfig) -> int:
    # 8 bits per weight and whole lines are more than any image takes.
    weights = sum(len(each.codes) * (each.codes.shape[1] + config.line_bytes + 64) for each in layers)
    return (weights + _SPARE_MEMORY + 0xFFFF) // 0x10000 * 0x10000


def run(
    path: Path,
    text: str,
    settings: Settings,
    step: Callable[[Step], None] = lambda progress: None,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Let a model go on with a text.

    Args:
        path: model directory in Hugging Face layout.
        text: its first `settings.prefill` tokens are the prompt.
        settings: everything else.
        step: told of every token.
        say: told what is being done.

    Raises:
        FineqError, ValueError: the model, the recipe or a setting is wrong.
        SimulatorError: the simulation cannot be built or broke down.
        AcceleratorError: the machine refuses a layer.
        LayerMismatch: a result differs from the integer reference.
    """
    config = find_accelerator(settings.accelerator)
    model, tokenizer = load_model(path), load_tokenizer(path)
    prompt = prompt_tokens(tokenizer, text, settings.prefill)
    say(f"quantizing {path.resolve().name} with the recipe {settings.recipe}")
    layers = quantize_layers(model, settings.recipe)
    options = {"latency": settings.latency} if settings.transport == "verilated" else {}
    say(f"building {settings.accelerator} ({settings.transport})")
    with TRANSPORTS[settings.transport](config, memory_size=_memory_size(layers, config), **options) as transport:
        machine = Accelerator(transport)
        executor = AcceleratorExecutor(machine, settings.output, settings.early_termination)
        chains = install(model, layers, executor, settings.output)
        say(f"running: {len(layers)} linear layers in {chains} chains of descriptors per pass")
        generated = _generate(model, tokenizer, prompt, settings, executor, step)
        image_bytes = sum(layer.image_bytes for layer in executor.loaded.values())

    say("the same in software")
    reference = SoftwareExecutor(settings.output)
    model = load_model(path)
    install(model, layers, reference, settings.output)
    in_software = list(generate(model, prompt, settings.tokens, settings.choose))
    same = in_software == generated and reference.digest.digest() == executor.digest.digest()
    packed = list(generate(with_packed_layers(load_model(path), layers), prompt, settings.tokens, settings.choose))
    agreeing = next(
        (i for i, pair in enumerate(zip(packed, generated, strict=True)) if pair[0] != pair[1]), len(packed)
    )
    return Outcome(
        settings,
        config,
        path.resolve().name,
        _text(tokenizer, prompt),
        _text(tokenizer, generated),
        tuple(prompt),
        tuple(generated),
        executor.statistics,
        executor.digest.hexdigest(),
        chains,
        len(layers),
        image_bytes,
        same,
        agreeing,
        _text(tokenizer, packed),
    )


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    text = tokenizer.decode(ids)
    assert isinstance(text, str)  # a list is the text of a batch
    return text


def _generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: list[int],
    settings: Settings,
    executor: AcceleratorExecutor,
    step: Callable[[Step], None],
) -> list[int]:
    generated: list[int] = []
    started, shown, cycles = time.monotonic(), str(tokenizer.decode(prompt)), 0

    def phase(name: str) -> None:
        executor.phase = name

    for token in generate(model, prompt, settings.tokens, settings.choose, phase):
        generated.append(token)
        said = str(tokenizer.decode([*prompt, *generated]))
        counters = executor.statistics.total().counters
        assert counters is not None, "a token was generated without a run of the machine"
        so_far = counters.cycles or 0
        if len(generated) == 1:  # the prompt is behind it: no measure for the rest
            first = time.monotonic()
        pace = (time.monotonic() - (started if len(generated) == 1 else first)) / max(len(generated) - 1, 1)
        step(
            Step(
                len(generated),
                said[len(shown) :],
                so_far - cycles if counters.cycle_accurate else None,
                pace * (settings.tokens - len(generated)),
            )
        )
        shown, cycles = said, so_far
    return generated
