"""What a run of a language model on the accelerator is asked to do; light enough for a command line's defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OUTPUTS = ("sums", "fixed")


@dataclass(frozen=True)
class Settings:
    """What to run.

    Attributes:
        recipe: of the quantizer.
        accelerator: name.
        transport: one of `TRANSPORTS`.
        output: `sums`, or `fixed` for results scaled by the machine's vector unit.
        prefill: tokens of the prompt.
        tokens: to generate.
        temperature: 0: always the most likely token.
        seed: of the sampling.
        early_termination: of the array.
        latency: of the simulated memory, cycles.
    """

    recipe: str = "paper"
    accelerator: str = "accelerator_64x64"
    transport: str = "verilated"
    output: str = "sums"
    prefill: int = 32
    tokens: int = 48
    temperature: float = 0.0
    seed: int = 0
    early_termination: bool = True
    latency: int = 1

    @property
    def choose(self) -> Callable[[Tensor], int]:
        """A fresh chooser of tokens."""
        from fineq_sim.llm.model import greedy, sampler

        return sampler(self.temperature, self.seed) if self.temperature else greedy
