"""How much memory a run will take, told before it begins."""

from __future__ import annotations

from torch import nn

from fineq.blockwise.streamed import StreamedModel
from fineq.calibrated.capture import BATCH_TOKENS
from fineq.calibrated.options import TuningOptions
from fineq.calibrated.tuning.memory import LOGIT_COPIES, OPTIMIZER_COPIES
from fineq.calibrated.tuning.run import TOKENS_AT_ONCE
from fineq.calibrated.tuning.tail import CHUNK_TOKENS
from fineq.common.errors import FineqError
from fineq.common.memory import available_memory
from fineq.models.language_model import block_linears, find_weight

PROGRAM_BYTES = 400_000_000
"""Python, torch and transformers themselves."""

METRIC_COPIES = 6
"""Matrices [K, K] of float64 that are there at once while a layer with K inputs is prepared."""

STREAM_COPIES = 4
"""Hidden states of all windows: before and behind the block, as quantized and exact."""


def memory_need(streamed: StreamedModel, windows: int, length: int) -> int:
    """Bytes at most, about: the program, one block, what leaves its layers, and the largest layer's moments."""
    model = streamed.model
    tokens = windows * length
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    width = embedding.embedding_dim
    outside = 4 * embedding.weight.numel() + STREAM_COPIES // 2 * 4 * tokens * width
    names = block_linears(model)
    need = 0
    for number, block in enumerate(streamed.blocks):
        weights = 4 * sum(value.numel() for value in block.parameters())
        prefix = streamed.prefix(number)
        shapes = [find_weight(model, name).view().shape for name in names if name.startswith(prefix)]
        outputs, inputs = sum(shape[0] for shape in shapes), max((shape[1] for shape in shapes), default=0)
        kept = 4 * tokens * (outputs + inputs) + 4 * 4 * BATCH_TOKENS * (outputs + inputs)
        need = max(need, 2 * weights + kept + METRIC_COPIES * 8 * inputs**2)
    return PROGRAM_BYTES + max(outside, STREAM_COPIES * 4 * tokens * width + need)


GRAPH_BYTES = 8
"""Of what a block keeps for its backward pass, for each token and each input and output of its layers."""


def tuning_need(streamed: StreamedModel, windows: int, length: int, options: TuningOptions) -> int:
    """Bytes that tuning takes, about, when no block keeps its graph; `fineq.calibrated.tuning.memory` measures it."""
    model = streamed.model
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, nn.Embedding)
    vocabulary, width = embedding.weight.shape
    at_once = max(1, TOKENS_AT_ONCE // length) * length
    graph = trained = 0
    for name in block_linears(model):
        rows, columns = find_weight(model, name).view().shape
        trained += rows + (rows * columns if options.code_reach else 0)
        graph += GRAPH_BYTES * at_once * (rows + columns)
    graph //= len(streamed.blocks)
    outside = sum(4 * value.numel() for name, value in model.named_parameters() if streamed.is_outside(name))
    streams = 4 * width * (2 * windows * length + len(streamed.blocks) * at_once)
    logits = 4 * LOGIT_COPIES * CHUNK_TOKENS * vocabulary
    return PROGRAM_BYTES + outside + streams + logits + 2 * graph + 4 * (1 + OPTIMIZER_COPIES) * trained


def check_memory(need: int, windows: int) -> None:
    """Raise if the system has less memory than is needed."""
    there = available_memory()
    if there is not None and need > there:
        raise FineqError(
            f"calibrating with {windows} windows takes about {need / 1e9:.1f} GB of memory, and {there / 1e9:.1f} GB "
            "are free: end other programs, or give fewer windows with --windows"
        )
