"""Memory of `fineq quantize` on models of several sizes."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

ALLOWED_GROWTH = 1 << 23
"""Bytes; the weights grow by some hundred MB, the smallest matrix has 5 MB."""

MEASURED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from fineq.checkpoint.planning import Options
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
quantize_checkpoint(open_source(sys.argv[1]), Path(sys.argv[2]), Options(recipe="paper", embeddings=True))
fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(*(1024 * int(fields[name].split()[0]) for name in ("VmHWM", "VmPeak")))
"""


def write_big_model(directory, architecture: str, layers: int) -> int:
    """A multi-shard model with one large embedding, written a tensor at a time; returns bytes of all tensors."""
    from transformers import GPT2Config, LlamaConfig

    from fineq.checkpoint.layers import skeleton

    if architecture == "llama":
        config = LlamaConfig(vocab_size=40_000, hidden_size=1536, intermediate_size=4096, num_hidden_layers=layers,
                             num_attention_heads=12, num_key_value_heads=12)  # fmt: skip
    else:
        config = GPT2Config(vocab_size=40_000, n_embd=1536, n_layer=layers, n_head=12)
    config.save_pretrained(directory)
    weight_map, total = {}, 0
    shards: dict[str, dict[str, torch.Tensor]] = {}
    model = skeleton(json.loads((directory / "config.json").read_text()))
    for name, parameter in model.named_parameters():
        shard = "model-embedding.safetensors" if "layers" not in name and ".h." not in name else None
        shard = shard or f"model-{[part for part in name.split('.') if part.isdigit()][0]}.safetensors"
        shards.setdefault(shard, {})[name] = parameter
    for shard, parameters in shards.items():
        tensors = {name: torch.randn(p.shape, dtype=torch.float32).half() for name, p in parameters.items()}
        save_file(tensors, directory / shard, metadata={"format": "pt"})
        total += sum(tensor.nbytes for tensor in tensors.values())
        weight_map |= dict.fromkeys(tensors, shard)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return total


@pytest.mark.regress
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_memory_does_not_grow_with_the_model(architecture, tmp_path):
    """Peak memory of the whole process, imports included, stays under twice the largest tensor and 1 GB; a model of
    three times the layers takes no more.

    What is resident depends on other programs: pages of the libraries come and go with the file cache. So growth is
    taken from the address space. Freed blocks that the allocator keeps for later depend on where the system has put
    things: with a fixed threshold it keeps none of a tensor's size.
    """
    resident, mapped = [], []
    for layers in (3, 9):
        directory = tmp_path / f"{architecture}-{layers}"
        directory.mkdir()
        total = write_big_model(directory, architecture, layers)
        script = [sys.executable, "-c", MEASURED, directory, tmp_path / f"q{layers}"]
        environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(1 << 16)}
        result = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
        for peaks, peak in zip((resident, mapped), result.stdout.split(), strict=True):
            peaks.append(int(peak))
    largest = 40_000 * 1536 * 2
    print(f"{architecture}: {total / 1e6:.0f} MB of weights, largest tensor {largest / 1e6:.0f} MB")
    print(f"resident at most {resident}, mapped at most {mapped}")
    assert max(resident) < 2 * largest + 2**30
    assert mapped[1] < mapped[0] + ALLOWED_GROWTH
