"""A whole model: tokens per second of SmolLM2-135M's shapes, packed and not.

The weights are random. What they are makes no difference to the speed, and nothing has to be downloaded.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicCache

from fineq.huggingface.linear import FineqLinear, set_activation
from fineq.models.language_model import block_linears
from fineq.quantizer.vectorised import quantize
from fineq_reports.bench.records import BenchTable
from fineq_reports.bench.timing import measure

PROMPT = 128
NEW_TOKENS = 8

SMOLLM2_135M = dict(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True,
)  # fmt: skip


def model_tables(rounds: int) -> list[BenchTable]:
    """Decoding after a prompt, and reading the prompt. Rates are tokens per second."""
    full = make_model(torch.float32)
    packed = pack(copy.deepcopy(full), "float")
    with_head = pack(copy.deepcopy(full), "float", head=True)
    models: dict[str, nn.Module] = {
        "bfloat16": converted(copy.deepcopy(full)),
        "float32": full,
        "packed blocks, float activations": packed,
        "packed blocks, int8 activations": switched(packed),
        "packed blocks, int8 activations, bfloat16": converted(switched(packed)),
        "packed blocks and head, int8 activations": switched(with_head),
    }
    with torch.inference_mode():
        decoding = {name: decode(model) for name, model in models.items()}
        reading = {name: prefill(model) for name, model in models.items()}
        title = "SmolLM2-135M's shapes"
        return [
            measure(f"{title}, decoding after {PROMPT} tokens", decoding, rounds, NEW_TOKENS),
            measure(f"{title}, reading {PROMPT} tokens", reading, rounds, PROMPT),
        ]


def make_model(dtype: torch.dtype) -> LlamaForCausalLM:
    """A random model."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SMOLLM2_135M)).to(dtype).eval()  # type: ignore[arg-type]


def converted(model: nn.Module) -> nn.Module:
    """In bfloat16, in place; scales of packed layers stay float32."""
    return model.to(torch.bfloat16)


def switched(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """A copy with int8 activations."""
    model = copy.deepcopy(model)
    set_activation(model, "int8")
    return model


def pack(model: LlamaForCausalLM, activation: str, head: bool = False) -> LlamaForCausalLM:
    """The model with packed linear layers, in place; `head`: the output head as well, apart from the embedding."""
    places = [name.removesuffix(".weight") for name in block_linears(model)] + ["lm_head"] * head
    for place in places:
        weight = model.get_submodule(place).get_parameter("weight").detach()
        packed, layer = quantize(weight, "paper"), FineqLinear(weight.shape[1], weight.shape[0], activation=activation)
        layer.fineq_blocks.copy_(packed.blocks)
        layer.fineq_scales.copy_(packed.scales)
        model.set_submodule(place, layer)
    return model


def prompt() -> torch.Tensor:
    return torch.randint(0, SMOLLM2_135M["vocab_size"], (1, PROMPT), generator=torch.Generator().manual_seed(3))


def prefill(model: nn.Module) -> Callable[[], object]:
    ids = prompt()
    return lambda: model(ids, use_cache=True, logits_to_keep=1)


def decode(model: nn.Module) -> Callable[[], object]:
    """Some tokens more, the most likely one each time."""
    cache = DynamicCache()
    first = model(prompt(), past_key_values=cache, logits_to_keep=1).logits.argmax(dim=-1)

    def run() -> None:
        token = first
        for _ in range(NEW_TOKENS):
            token = model(token, past_key_values=cache).logits[:, -1:].argmax(dim=-1)
        cache.crop(-NEW_TOKENS)

    return run
