"""One model type through FineQ and back: quantize, load, compare, generate, save again."""

from __future__ import annotations

import copy
import logging
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

import fineq.huggingface  # noqa: F401  (lets transformers load packed models)
from fineq.checkpoint.layers import skeleton
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.huggingface.linear import FineqExperts, PackedModule
from fineq.models.blocks import block_lists
from fineq.quantizer.vectorised import quantize
from fineq_reports.model_types.outcome import REFUSED, UNTRIED, WORKS, WRONG, Outcome
from fineq_reports.model_types.tiny import NotTiny, find_tiny, one_line, run

RECIPE = "mse"

SPREADS = (0.3, 0.1, 0.02)
"""Standard deviations of the weights: the largest with which the logits stay finite is taken."""

TOLERANCE = 1e-3
"""Of the largest logit. Equal weights differ only by the order in which products are summed."""

ROUNDINGS = 2.0
"""How many times the full-precision model's own error of rounding the logits may differ by, if that is more: a model
that feeds its output back many times, as HRM does, blows it up."""

NEW_TOKENS = 4


class Wrong(Exception):
    """What was loaded is not what was written."""


class Untried(Exception):
    """transformers alone cannot do with the model what is to be compared."""


def probe(model_type: str) -> Outcome:
    """Try a type. Nothing is raised: whatever goes wrong is the outcome."""
    _be_quiet()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if transformers.CONFIG_MAPPING[model_type] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return _other_kind(model_type)
    try:
        tiny = find_tiny(model_type)
        model = _with_weights(lambda: AutoModelForCausalLM.from_config(tiny.config).eval())
    except NotTiny as error:
        return Outcome(model_type, UNTRIED, f"transformers runs no tiny model of it: {error}")
    outcome = Outcome(model_type, WORKS, lacks=list(tiny.lacks))
    with tempfile.TemporaryDirectory() as directory:
        outcome.result, outcome.reason = _verdict(lambda: _try(model, Path(directory), outcome), directory)
    return outcome


def _verdict(attempt: Callable[[], None], directory: str) -> tuple[str, str]:
    try:
        attempt()
    except Untried as error:
        result, reason = UNTRIED, str(error)
    except Wrong as error:
        result, reason = WRONG, str(error)
    except FineqError as error:
        result, reason = REFUSED, str(error)
    except Exception as error:
        result, reason = WRONG, one_line(error)
    else:
        return WORKS, ""
    return result, reason.replace(directory, "MODEL")


def _other_kind(model_type: str) -> Outcome:
    try:
        skeleton({"model_type": model_type})
    except FineqError as error:
        return Outcome(model_type, REFUSED, str(error))
    return Outcome(model_type, WRONG, "transformers builds a causal language model of it, though it lists none")


def _be_quiet() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def _with_weights(build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """A model with random weights, larger than usual, so that outputs differ."""
    for spread in SPREADS:
        model = build()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.ndim > 1:
                    weight.normal_(std=spread)
                elif name.endswith("bias"):
                    weight.normal_(std=0.1)
        if bool(run(model).isfinite().all()):
            return model
    raise NotTiny("its logits are not finite, whatever the size of the weights")


def _try(model: PreTrainedModel, directory: Path, outcome: Outcome) -> None:
    source = directory / "source"
    try:
        model.save_pretrained(source)
        same = _close(run(_load(source)), run(model))
    except Exception as error:
        raise Untried(f"transformers cannot save and load it: {one_line(error)}") from error
    if not same:
        raise Untried("transformers loads another model than it saved, or computes something else each time")
    _there_and_back(source, directory / "blocks", Options(RECIPE), outcome)
    result, reason = _verdict(
        lambda: _there_and_back(source, directory / "all", Options(RECIPE, embeddings=True, lm_head=True)),
        str(directory),
    )
    if result == WRONG:
        raise Wrong(f"with --embeddings --lm-head: {reason}")
    outcome.embeddings = reason or result


def _there_and_back(source: Path, directory: Path, options: Options, outcome: Outcome | None = None) -> None:
    quantized, again = directory / "quantized", directory / "again"
    quantize_checkpoint(open_source(source), quantized, options)
    plain, packed = _load(source), _load(quantized)
    before = run(plain)
    _replace(plain, packed)
    if outcome:
        outcome.packed, outcome.kept = _share(plain, packed), _kept(source, options)
    logits, expected = run(packed), run(plain)
    if not _close(logits, expected):
        difference = (logits - expected).abs().max().item()
        if not difference <= ROUNDINGS * _rounding(plain, expected):
            raise Wrong(f"logits differ by {difference:.2g} of {expected.abs().max().item():.2g}")
    if torch.equal(before, expected):
        raise Wrong("quantizing changed nothing")
    _compare_generated(plain, packed)
    packed.save_pretrained(again)
    _compare_files(quantized, again)
    if not torch.equal(run(_load(again)), logits):
        raise Wrong("the model that was saved again computes something else")


def _load(directory: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def _close(found: Tensor, expected: Tensor) -> bool:
    scale = max(1.0, expected.abs().max().item())
    return found.shape == expected.shape and (found - expected).abs().max().item() <= TOLERANCE * scale


def _rounding(plain: PreTrainedModel, logits: Tensor) -> float:
    """By how much float32 falsifies the logits of a model; 0: it does not run in float64."""
    try:
        exact = run(copy.deepcopy(plain).double())
    except Exception:
        return 0.0
    return (exact - logits.double()).abs().max().item()


def _replace(plain: PreTrainedModel, packed: PreTrainedModel) -> None:
    """Give the full-precision model what its own weights become, and see that the packed layers hold just that."""
    layers = [(path, module) for path, module in packed.named_modules() if isinstance(module, PackedModule)]
    if not layers:
        raise Wrong("nothing is packed")
    values = {path: _quantized(plain, path, module) for path, module in layers}
    for path, module in layers:
        stored = module.unpacked()
        is_turned = not isinstance(module, FineqExperts) and isinstance(plain.get_submodule(path), Conv1D)
        if not torch.equal(stored.mT if is_turned else stored, values[path]):
            raise Wrong(f"{path} holds other weights than those of the source")
    for path, module in layers:
        owner, _, name = (path if isinstance(module, FineqExperts) else f"{path}.weight").rpartition(".")
        # Parameters of their own: embedding and head may have been one.
        setattr(plain.get_submodule(owner), name, nn.Parameter(values[path], requires_grad=False))


def _weight(plain: PreTrainedModel, path: str, module: PackedModule) -> nn.Parameter:
    return plain.get_parameter(path if isinstance(module, FineqExperts) else f"{path}.weight")


def _quantized(plain: PreTrainedModel, path: str, module: PackedModule) -> Tensor:
    """What a weight of the full-precision model stands for after quantizing, in the model's own layout."""
    weight = _weight(plain, path, module).detach()
    is_stack = isinstance(module, FineqExperts)
    transposed = module.transposed if is_stack else isinstance(plain.get_submodule(path), Conv1D)
    matrices = weight.mT if transposed else weight
    values = [quantize(part.contiguous(), RECIPE).dequantize() for part in matrices.reshape(-1, *matrices.shape[-2:])]
    value = torch.stack(values).view(matrices.shape)
    return value.mT if transposed else value


def _share(plain: PreTrainedModel, packed: PreTrainedModel) -> float:
    """Of the weights in matrices of the decoder blocks, what share is packed."""
    held = kept = 0
    for path in block_lists(plain):
        blocks = packed.get_submodule(path)
        held += sum(math.prod(module.shape) for module in blocks.modules() if isinstance(module, PackedModule))
        kept += sum(weight.numel() for weight in blocks.parameters() if weight.ndim > 1)
    return round(held / (held + kept), 4)


def _kept(source: Path, options: Options) -> dict[str, int]:
    """Why matrices stay as they are."""
    plan = make_plan(open_source(source), options, "row")
    matrices = {name for name, tensor in _tensors(source).items() if tensor.ndim > 1}
    return dict(Counter(reason for name, reason in plan.kept.items() if name in matrices))


def _compare_generated(plain: PreTrainedModel, packed: PreTrainedModel) -> None:
    prompt = torch.arange(3, 11)[None]
    try:
        expected = _generated(plain, prompt)
    except Exception:
        return  # transformers cannot generate with it
    if not torch.equal(_generated(packed, prompt), expected):
        raise Wrong("it generates another text than the dequantized model")


def _generated(model: Any, prompt: Tensor) -> Tensor:
    return model.generate(prompt, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False)


def _compare_files(one: Path, other: Path) -> None:
    first, second = _tensors(one), _tensors(other)
    names = sorted(first.keys() | second.keys())
    different = [name for name in names if not _same(first.get(name), second.get(name))]
    if different:
        raise Wrong(f"saved again, {len(different)} tensors differ, such as {different[0]}")


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    return one is not None and other is not None and one.dtype == other.dtype and torch.equal(one, other)


def _tensors(directory: Path) -> dict[str, Tensor]:
    return {name: tensor for file in directory.glob("*.safetensors") for name, tensor in load_file(file).items()}
