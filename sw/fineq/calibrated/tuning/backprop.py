"""One pass forward and backward through a student, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fineq.calibrated.tuning.student import Student
from fineq.calibrated.tuning.tail import Tail


@dataclass(frozen=True)
class Backprop:
    """Gradients of the divergence from the full-precision model.

    Attributes:
        kept: so many blocks, from the last on, keep what their backward pass needs; the others are run again in it.
            Gradients are the same bit for bit.
    """

    student: Student
    tail: Tail
    kept: int

    def add_gradients(self, hidden: Tensor, exact: Tensor, share: float) -> float:
        """Add to the gradients of all that is trained.

        Args:
            hidden: what enters the first block, [windows, length, width].
            exact: what leaves the last block of the full-precision model.
            share: every token's part of the mean.

        Returns:
            The divergence, summed over the tokens.
        """
        blocks = len(self.student.runner.blocks)
        entering: list[Tensor] = []
        leaving: list[Tensor | None] = []
        with torch.enable_grad():
            for number in range(blocks):
                start = hidden.detach().requires_grad_()
                end = self.student.run(number, start)
                entering.append(start)
                leaving.append(end if number >= blocks - self.kept else None)
                hidden = end.detach()
                del end
            total, gradient = self.tail.divergence(hidden, exact, self.student.outside, share)
            for number in reversed(range(blocks)):
                start, kept = entering.pop(), leaving.pop()
                (self.student.run(number, start) if kept is None else kept).backward(gradient)
                assert start.grad is not None
                gradient, start.grad = start.grad, None
        return total
