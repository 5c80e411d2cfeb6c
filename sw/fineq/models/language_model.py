"""Language models in Hugging Face layout: load them, name their linear layers, read and replace the weights.

FineQ quantizes the linear layers of the decoder blocks; embeddings, norms, routers and the output head stay
(docs/model.md lists the supported architectures). A layer is named by its path in the model, for example
`model.layers.0.self_attn.q_proj`; one expert of a fused mixture-of-experts tensor has its number behind it,
for example `model.layers.0.mlp.experts.down_proj.5`. Weights are always [out, in], whatever the model stores.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from fineq.common.errors import FineqError

SHIPPED_MODEL = "storyteller"

BLOCK_LISTS = ("layers", "h", "decoder.layers", "language_model.layers")
"""Where a model's base keeps its decoder blocks."""

KEPT_LINEARS = re.compile(r"\.(gate|router|shared_expert_gate)$")
"""Routers of mixtures of experts: tiny, and decisive for which expert works."""

EXPERT_WEIGHTS = ("gate_up_proj", "up_proj", "down_proj")
"""Three-dimensional weights of a fused experts module: [experts, out, in] unless the module is transposed."""


def shipped_model_path() -> Path:
    """Directory of the small model that the package carries."""
    return Path(__file__).parents[1] / "data" / SHIPPED_MODEL


# -- loading ---------------------------------------------------------------------------------------------------


def check_model_directory(path: Path) -> dict[str, Any]:
    """Check that `path` is a whole local model and return its config.json.

    Raises:
        FineqError: no directory, no or unreadable config, no architecture, missing or damaged weight files.
    """
    path = Path(path)
    if not path.is_dir():
        raise FineqError(f"{path} is not a directory: give a local model directory in Hugging Face layout")
    config = _read_json(path / "config.json", "the model's configuration")
    if not config.get("architectures") or "model_type" not in config:
        raise FineqError(f"{path}/config.json names no architecture: it needs 'architectures' and 'model_type'")
    index = path / "model.safetensors.index.json"
    if index.exists():
        places = _read_json(index, "the index of the weight files").get("weight_map")
        if not isinstance(places, dict) or not places:
            raise FineqError(f"{index} has no 'weight_map': download the model again")
    else:
        places = None
    shards = sorted(set(places.values())) if places else ["model.safetensors"]
    missing = [shard for shard in shards if not (path / shard).is_file()]
    if missing:
        raise FineqError(f"{path} lacks the weight file {missing[0]}: FineQ reads safetensors; complete the download")
    for shard in shards:
        try:
            with safe_open(path / shard, framework="pt") as file:
                held = set(file.keys())
        except (OSError, SafetensorError) as error:
            raise FineqError(f"cannot read {path / shard}: {error}") from error
        absent = sorted(name for name, place in (places or {}).items() if place == shard and name not in held)
        if absent:
            raise FineqError(f"{index} places {absent[0]} in {shard}, which does not hold it: download the model again")
    return config


def _read_json(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FineqError(f"{path.parent} has no {path.name}: {what} must lie beside the weights") from error
    except (OSError, ValueError) as error:
        raise FineqError(f"cannot read {path}: it is not valid JSON") from error
    if not isinstance(content, dict):
        raise FineqError(f"cannot read {path}: it is not a JSON object")
    return content


def load_model(path: Path, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """Load a causal language model from a local directory, in evaluation mode on the CPU.

    Raises:
        FineqError: see `check_model_directory`; also an architecture that transformers does not know, and
            weights that are absent (transformers alone would fill them with random numbers).
    """
    check_model_directory(path)
    had_progress_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise FineqError(f"transformers cannot load {path}: {first_line}") from error
    finally:
        if had_progress_bar:
            logging.enable_progress_bar()
    absent = sorted(info["missing_keys"])
    if absent:
        raise FineqError(f"the weight files of {path} lack {absent[0]} (and {len(absent) - 1} more): they do not match")
    return model.eval()


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a local model directory."""
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise FineqError(f"cannot load the tokenizer of {path}: {first_line}") from error


def model_fingerprint(path: Path) -> str:
    """SHA-256 over config, tokenizer and weight files of a model directory: equal for equal behaviour."""
    total = hashlib.sha256()
    names = ("config.json", "tokenizer*", "vocab.json", "merges.txt", "*.safetensors")
    for file in sorted({file for name in names for file in Path(path).glob(name)}):
        with file.open("rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


# -- the linear layers -----------------------------------------------------------------------------------------


def decoder_blocks(model: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """Path and list of the decoder blocks."""
    for name in BLOCK_LISTS:
        base = model.base_model
        for part in name.split("."):
            base = getattr(base, part, None)
        if isinstance(base, nn.ModuleList):
            prefix = model.base_model_prefix
            return (f"{prefix}.{name}" if model.base_model is not model else name), base
    raise FineqError(f"{type(model).__name__} keeps its decoder blocks in no known place: its layers cannot be found")


def block_linears(model: PreTrainedModel) -> list[str]:
    """Names of all linear layers inside the decoder blocks, in the model's order.

    `nn.Linear`, GPT-2's `Conv1D` and fused experts count; routers do not (`KEPT_LINEARS`).
    """
    prefix, blocks = decoder_blocks(model)
    names = []
    for path, module in blocks.named_modules(prefix=prefix):
        if isinstance(module, nn.Linear | Conv1D):
            names += [] if KEPT_LINEARS.search(path) else [path]
        elif _is_fused_experts(module):
            weights = [name for name, weight in module.named_parameters(recurse=False) if weight.ndim == 3]
            names += [f"{path}.{weight}.{e}" for e in range(module.num_experts) for weight in weights]
    return names


def _is_fused_experts(module: nn.Module) -> bool:
    weights = [name for name, weight in module.named_parameters(recurse=False) if weight.ndim == 3]
    if not weights:
        return False
    if not set(weights) <= set(EXPERT_WEIGHTS) or not hasattr(module, "num_experts"):
        raise FineqError(f"{type(module).__name__} holds expert weights in an unknown layout: {', '.join(weights)}")
    return True


@dataclass(frozen=True)
class WeightPlace:
    """Where a layer's weight lies: a module, the name of its parameter, the expert (None: not fused)."""

    path: str
    """Name of the parameter in the model."""
    module: nn.Module
    parameter: str
    expert: int | None
    transposed: bool

    def view(self) -> Tensor:
        """The weight as [out, in], sharing memory with the model."""
        weight = getattr(self.module, self.parameter).detach()
        weight = weight if self.expert is None else weight[self.expert]
        return weight.T if self.transposed else weight


def find_weight(model: PreTrainedModel, name: str) -> WeightPlace:
    """Where the weight of a layer lies."""
    fused = re.fullmatch(r"(.+)\.(\w+)\.(\d+)", name)
    modules = dict(model.named_modules())
    if fused and fused[2] in EXPERT_WEIGHTS:
        module = modules.get(fused[1])
        weight = getattr(module, fused[2], None)
        if isinstance(weight, nn.Parameter) and weight.ndim == 3 and int(fused[3]) < len(weight):
            path = f"{fused[1]}.{fused[2]}"
            return WeightPlace(path, module, fused[2], int(fused[3]), getattr(module, "is_transposed", False))
    module = modules.get(name)
    if not isinstance(module, nn.Linear | Conv1D):
        raise FineqError(f"the model has no linear layer {name!r}: `block_linears` lists the names")
    return WeightPlace(f"{name}.weight", module, "weight", None, isinstance(module, Conv1D))


def get_weight(model: PreTrainedModel, name: str) -> Tensor:
    """Weight of a layer, [out, in], in the model's dtype, sharing memory with the model."""
    return find_weight(model, name).view()


def set_weight(model: PreTrainedModel, name: str, weight: Tensor) -> None:
    """Replace the weight of a layer by `weight` [out, in], rounded to the model's dtype."""
    place = find_weight(model, name).view()
    if place.shape != weight.shape:
        raise FineqError(f"{name} has shape {list(place.shape)}, not {list(weight.shape)}: give [out, in]")
    with torch.no_grad():
        place.copy_(weight)


# -- replacing all weights -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerReport:
    """What quantization did to one layer."""

    name: str
    shape: tuple[int, int]
    bits_per_weight: float
    """Storage with scales, zero points and padding."""
    normalised_error: float
    """Squared error over the squared weights: 0 is exact, 1 is all zero."""


def layer_report(name: str, weight: Tensor, dequantized: Tensor, bits: float) -> LayerReport:
    """The report on a layer, from its weight before and after, both [out, in], and its bits per weight."""
    power = weight.double().square().sum().item()
    error = (weight.double() - dequantized.double()).square().sum().item()
    return LayerReport(name, tuple(weight.shape), bits, error / power if power else float(error > 0))


def fake_quantize_model(
    model: PreTrainedModel,
    quantize: Callable[[Tensor, str], tuple[Tensor, float]],
    names: Iterable[str] | None = None,
) -> list[LayerReport]:
    """Replace the weights of the block linears by what their quantized form stands for, in place.

    Args:
        quantize: called with a float32 weight [out, in] and its name; returns the dequantized weight of the
            same shape and the bits per weight. `fineq.evaluation.methods.find_method` gives one by name.
        names: layers to quantize; None: all of `block_linears`.
    """
    reports = []
    for name in block_linears(model) if names is None else names:
        weight = get_weight(model, name).to(torch.float32, copy=True)
        dequantized, bits = quantize(weight, name)
        set_weight(model, name, dequantized)
        reports.append(layer_report(name, weight, dequantized, bits))
    return reports


# -- activations -----------------------------------------------------------------------------------------------


@contextmanager
def watch_activations(
    model: PreTrainedModel, names: Iterable[str], observer: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Inside, whatever runs the model or a part of it hands the inputs of layers to `observer`, call by call.

    Args:
        names: layers to watch, as in `block_linears`. An expert sees the tokens routed to it, perhaps none.
        observer: called with the name and the inputs [tokens, in] in the model's dtype.
    """
    by_module: dict[nn.Module, list[tuple[str, WeightPlace]]] = defaultdict(list)
    for name in names:
        place = find_weight(model, name)
        by_module[place.module].append((name, place))

    def watch(module: nn.Module, arguments: tuple, keywords: dict) -> None:
        arguments = (*arguments, *keywords.values())
        for name, place in by_module[module]:
            inputs = arguments[0].detach()
            if place.expert is not None:
                inputs = _expert_inputs(module, place, inputs, arguments[1])
            observer(name, inputs.reshape(-1, inputs.shape[-1]))

    handles = [module.register_forward_pre_hook(watch, with_kwargs=True) for module in by_module]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def observe_activations(
    model: PreTrainedModel,
    token_ids: Tensor,
    names: Iterable[str],
    observer: Callable[[str, Tensor], None],
) -> None:
    """Run the model and hand the inputs of layers to `observer`, call by call, so that nothing piles up.

    Args:
        token_ids: int64 [windows, length]; each window runs on its own.
        names, observer: see `watch_activations`.
    """
    with watch_activations(model, names, observer), torch.no_grad():
        for window in torch.atleast_2d(token_ids):
            model(input_ids=window[None], use_cache=False)


def _expert_inputs(module: nn.Module, place: WeightPlace, hidden: Tensor, routed: Tensor) -> Tensor:
    """Inputs of one expert's weight: hidden [tokens, width], routed int64 [tokens, experts per token]."""
    inputs = hidden[(routed == place.expert).any(dim=-1)]
    if place.parameter != "down_proj":
        return inputs
    first = "gate_up_proj" if module.has_gate else "up_proj"
    inner = inputs @ WeightPlace("", module, first, place.expert, place.transposed).view().T
    bias = getattr(module, f"{first}_bias", None)
    inner = inner if bias is None else inner + bias[place.expert]
    return module._apply_gate(inner) if module.has_gate else module.act_fn(inner)


def capture_activations(model: PreTrainedModel, token_ids: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """The real inputs of layers: float32 [tokens, in] for each name, in the order of the tokens."""
    names = list(names)
    captured: dict[str, list[Tensor]] = {name: [] for name in names}
    observe_activations(model, token_ids, names, lambda name, inputs: captured[name].append(inputs.float()))
    return {
        name: torch.cat(parts) if parts else torch.empty(0, get_weight(model, name).shape[1])
        for name, parts in captured.items()
    }
