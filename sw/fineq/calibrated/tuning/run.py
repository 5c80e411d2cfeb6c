"""The steps of a tuning run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.calibrated.capture import BlockRunner
from fineq.calibrated.options import TuningOptions
from fineq.calibrated.tuning.backprop import Backprop
from fineq.calibrated.tuning.memory import plan_kept_blocks
from fineq.calibrated.tuning.state import State, collect, restore
from fineq.calibrated.tuning.student import Student, rate_factor
from fineq.calibrated.tuning.tail import Tail
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.quantizer.packed import PackedWeight

TOKENS_AT_ONCE = 1024
"""Tokens that pass the model together; the gradients of a step are sums over such parts. It decides the bytes."""


@dataclass(frozen=True)
class TuningInputs:
    """What is trained on, and where from.

    Attributes:
        packed: where training starts, by layer name.
        hidden: what enters the first block, float32 [windows, length, width].
        exact: what leaves the last block of the full-precision model.
        read: a parameter of the full-precision model by name, float32.
        originals: the weights [rows, K] that were quantized, by layer name.
    """

    packed: Mapping[str, PackedWeight]
    hidden: Tensor
    exact: Tensor
    read: Callable[[str], Tensor]
    originals: Callable[[str], Tensor]


def product_dtype() -> torch.dtype:
    """In which products with codes are taken: bfloat16, in which they are exact, where the processor is quick at it."""
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def tune(
    runner: BlockRunner,
    inputs: TuningInputs,
    options: TuningOptions,
    recipe: str,
    state: State,
    progress: Progress | None = None,
    watch: Callable[[int, float], None] | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Train towards the full-precision model's predictions.

    Args:
        runner: of the model, with memory for what is outside its blocks.
        recipe: name that the packed weights carry.
        state: where the run is kept.
        watch: called after every step with its number and its mean divergence before the step, nats a token.

    Returns:
        Packed weights by layer name, and the other parameters that changed.

    Raises:
        FineqError: too little memory, stacks of experts, or a loss that is not a number.
    """
    student = Student(runner, inputs.packed, inputs.read, inputs.originals, options, product_dtype())
    optimizer = torch.optim.Adam(student.groups(), betas=(0.9, 0.95), fused=True)
    rates = [group["lr"] for group in optimizer.param_groups]
    leaves = student.trained()
    count, length, _ = inputs.hidden.shape
    batch, at_once = max(1, options.tokens // length), max(1, TOKENS_AT_ONCE // length)
    found = state.load()
    done = 0
    if found is not None:
        done, tensors = found
        restore(tensors, done, leaves, optimizer)
        student.after_step()
    with student.in_place():
        with torch.no_grad():
            output = student.output(len(runner.blocks) - 1, inputs.hidden[:1])
        tail = Tail(runner.model, runner.blocks, output)
        vocabulary = runner.model.config.get_text_config().vocab_size
        kept = plan_kept_blocks(student, inputs.hidden[: min(at_once, batch)], vocabulary)
        for number in range(len(runner.blocks) - kept, len(runner.blocks)):
            for layer in student.block_layers(number):
                layer.keep_codes()
        backprop = Backprop(student, tail, kept)
        for step in range(done, options.steps):
            factor = rate_factor(step, options.steps)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
            windows = windows_of_step(step, batch, count, options.seed)
            share = 1 / (len(windows) * length)
            loss = 0.0
            for part in windows.split(at_once):
                loss += share * backprop.add_gradients(inputs.hidden[part], inputs.exact[part], share)
            if not math.isfinite(loss):
                raise FineqError(f"tuning met a loss of {loss} at step {step}: use recipe calibrated")
            optimizer.step()
            student.after_step()
            if watch:
                watch(step, loss)
            if progress:
                progress("tuning", step + 1, options.steps)
            state.save(step + 1, lambda: collect(leaves, optimizer))
    return student.finish(recipe)


def windows_of_step(step: int, batch: int, count: int, seed: int) -> Tensor:
    """Numbers of the windows of a step: every pass over all of them has an order of its own."""
    batch = min(batch, count)
    chosen = []
    for place in range(step * batch, (step + 1) * batch):
        lap, position = divmod(place, count)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + lap))
        chosen.append(int(order[position]))
    return torch.tensor(chosen)
