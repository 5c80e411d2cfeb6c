"""How much memory tuning takes, measured on one block before the work begins, and what may be kept within it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from fineq.calibrated.tuning.student import Student
from fineq.calibrated.tuning.tail import CHUNK_TOKENS
from fineq.common.errors import FineqError
from fineq.common.memory import available_memory

LOGIT_COPIES = 6
"""Matrices [CHUNK_TOKENS, vocabulary] in float32 that the loss has at once."""

OPTIMIZER_COPIES = 3
"""Of a trained value beside itself: its gradient and two moments."""

USED_SHARE = 0.7
"""Of the free memory that kept graphs may take: others want some too."""


def graph_bytes(student: Student, number: int, hidden: Tensor) -> int:
    """Bytes that a block keeps for its backward pass on these hidden states."""
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no address is used twice

    def note(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        kept.append(value)
        return value

    with saved_tensors_hooks(note, lambda value: value), torch.enable_grad():
        student.run(number, hidden.detach().requires_grad_())
    return sum(sizes.values())


def plan_kept_blocks(student: Student, hidden: Tensor, vocabulary: int) -> int:
    """How many blocks may keep their graphs.

    Args:
        hidden: as many windows as pass at once, as they enter the first block.
        vocabulary: outputs of the head.

    Raises:
        FineqError: there is too little memory even for one block at a time.
    """
    blocks = len(student.runner.blocks)
    one = graph_bytes(student, 0, hidden)
    trained = 4 * OPTIMIZER_COPIES * sum(value.numel() for value in student.trained().values())
    always = trained + blocks * hidden.nbytes + 4 * LOGIT_COPIES * CHUNK_TOKENS * vocabulary + 2 * one
    there = available_memory()
    if there is None:
        return 0
    if always > there:
        raise FineqError(
            f"tuning takes about {always / 1e9:.1f} GB more memory, and {there / 1e9:.1f} GB are free: end other "
            "programs, or choose recipe calibrated"
        )
    return max(0, min(blocks, int((USED_SHARE * there - always) / max(1, one))))
