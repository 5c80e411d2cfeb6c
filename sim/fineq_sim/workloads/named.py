"""Language models by name: sizes as their published configurations state them."""

from __future__ import annotations

from difflib import get_close_matches

from fineq_sim.workloads.language_model import Layer, ModelShape
from fineq_sim.workloads.work import WorkloadError

_SIZES: dict[str, tuple[str, int, int, int, int, int, int]] = {
    "llama-2-7b": ("meta-llama/Llama-2-7b-hf", 4096, 11008, 32, 32, 32, 32000),
    "llama-2-13b": ("meta-llama/Llama-2-13b-hf", 5120, 13824, 40, 40, 40, 32000),
    "llama-2-70b": ("meta-llama/Llama-2-70b-hf", 8192, 28672, 80, 64, 8, 32000),
    "llama-3-8b": ("meta-llama/Meta-Llama-3-8B", 4096, 14336, 32, 32, 8, 128256),
    "open-llama-3b": ("openlm-research/open_llama_3b_v2", 3200, 8640, 26, 32, 32, 32000),
    "smollm2-135m": ("HuggingFaceTB/SmolLM2-135M", 576, 1536, 30, 9, 3, 49152),
}
"""Where the configuration is published, hidden size, intermediate size, blocks, heads, key and value heads, vocabulary.

`open-llama-3b` stands where the paper has "LLaMA-2-3B": there is no LLaMA-2 of that size.
"""

NAMES = tuple(_SIZES)


def named_shape(name: str) -> ModelShape:
    """The shape of a model.

    Raises:
        WorkloadError: no such model; near names are given.
    """
    if name not in _SIZES:
        near = get_close_matches(name.lower(), NAMES, n=2, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise WorkloadError(
            f"there is no model, file or directory {name!r}: {hint}Known are {', '.join(NAMES)}, a directory or "
            "config.json in Hugging Face layout, a .csv and an .onnx file"
        )
    source, hidden, intermediate, blocks, heads, kv_heads, vocabulary = _SIZES[name]
    size = hidden // heads
    layers = (
        ("self_attn.q_proj", hidden, hidden),
        ("self_attn.k_proj", kv_heads * size, hidden),
        ("self_attn.v_proj", kv_heads * size, hidden),
        ("self_attn.o_proj", hidden, hidden),
        ("mlp.gate_proj", intermediate, hidden),
        ("mlp.up_proj", intermediate, hidden),
        ("mlp.down_proj", hidden, intermediate),
    )
    return ModelShape(
        name,
        f"sizes of {source}",
        tuple(Layer(layer, channels, inner, blocks) for layer, channels, inner in layers),
        blocks,
        heads,
        kv_heads,
        size,
        hidden,
        vocabulary,
    )
