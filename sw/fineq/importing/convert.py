"""A GGUF file of a LLaMA-type model into a Hugging Face directory, weights in float32."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fineq.common.errors import FineqError
from fineq.common.memory import available_memory
from fineq.common.places import check_new
from fineq.importing.header import GgufHeader, read_header

ARCHITECTURES = ("llama",)
"""What `general.architecture` may be; Mistral's models call themselves llama too."""

WORK_SUFFIX = ".unfinished"
BYTES_PER_WEIGHT = 3 * 4
"""Of memory: the model as it is unpacked, and twice while its tensors change hands."""

PROGRAM_BYTES = 500_000_000


def convert_gguf(path: Path, output: Path) -> Path:
    """Write the model and its tokenizer; the directory appears only when it is complete.

    Raises:
        FineqError: the package `gguf` is absent; not a GGUF file, truncated, of an unknown architecture or with
            tensors of an unknown type; too little memory; the output exists or cannot be written.
    """
    path, output = Path(path), Path(output)
    check_new(output)
    if importlib.util.find_spec("gguf") is None:
        raise FineqError("reading GGUF files needs the package gguf: pip install 'fineq[gguf]'")
    header = read_header(path)
    check_header(header, path.name)
    need, there = PROGRAM_BYTES + BYTES_PER_WEIGHT * header.weights, available_memory()
    if there is not None and need > there:
        raise FineqError(
            f"converting {path.name} takes about {need / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB are free: "
            "end other programs"
        )
    work = output.with_name(output.name + WORK_SUFFIX)
    try:
        shutil.rmtree(work, ignore_errors=True)  # of an interrupted run
        work.mkdir(parents=True)
        with _quiet():
            _write(path, work)
        os.replace(work, output)
    except OSError as error:
        raise FineqError(f"cannot write {output}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return output


def check_header(header: GgufHeader, name: str) -> None:
    """Raise if the file cannot be converted, or does not hold all that it declares."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import _type_traits as unpackers

    if header.architecture not in ARCHITECTURES:
        raise FineqError(
            f"{name} is of the architecture {header.architecture!r}: only {', '.join(ARCHITECTURES)} can be converted"
        )
    plain = {GGMLQuantizationType.F32, GGMLQuantizationType.F16}
    for tensor in header.tensors:
        try:
            kind = GGMLQuantizationType(tensor.type)
        except ValueError:
            kind = None
        if kind is None or (kind not in plain and kind not in unpackers):
            called = f"number {tensor.type}" if kind is None else kind.name
            raise FineqError(f"{name}: tensor {tensor.name} is of the type {called}, which cannot be unpacked")
        block, block_bytes = GGML_QUANT_SIZES[kind]
        elements = math.prod(tensor.shape)
        end = header.data_start + tensor.offset + elements // block * block_bytes
        if elements % block or end > header.size:
            raise FineqError(
                f"{name} is truncated or damaged: {tensor.name} ends at byte {end} of {header.size}: copy it again"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers neither reports on the weights nor shows bars of its own."""
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()


def _write(path: Path, directory: Path) -> None:
    """Let transformers unpack the file, and save the plain model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    except OSError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FineqError(f"transformers cannot convert {path.name}: {reason}") from error
    model, info = loaded
    absent = sorted(info["missing_keys"])
    if absent:
        raise FineqError(f"{path.name} lacks {absent[0]} (and {len(absent) - 1} more): it is no whole model")
    own = ("quantization_config", "_name_or_path", "_model_name_or_path")
    settings = {key: value for key, value in model.config.to_dict().items() if key not in own}
    plain = type(model)(type(model.config)(**settings))
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    if model.generation_config is not None:
        plain.generation_config = model.generation_config
    plain.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
