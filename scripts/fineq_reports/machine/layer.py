"""The layer whose throughput is measured; light enough for a command line's defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from fineq_hw.config import AcceleratorConfig


@dataclass(frozen=True)
class MeasuredLayer:
    """The layer that is measured: Gaussian weights and activations from a seed."""

    tokens: int = 512
    channels: int = 512
    inner: int = 512
    recipe: str = "paper"
    seed: int = 0

    def weights(self, config: AcceleratorConfig) -> tuple[np.ndarray, np.ndarray]:
        """Integers [N, K] and scales [N]: the recipe's, or symmetric ones for a MAC array with plain weights."""
        import torch

        from fineq.quantizer.activations import quantize_activations
        from fineq.quantizer.vectorised import quantize

        generator = torch.Generator().manual_seed(self.seed)
        weight = torch.randn(self.channels, self.inner, generator=generator)
        if config.array.signed_weights:
            largest = config.array.weight_limits[1]
            codes, scales = quantize_activations(weight, largest=largest)  # the same rule, per channel
            return codes.numpy(), scales.numpy()
        packed = quantize(weight, recipe=self.recipe)
        return packed.codes().numpy(), packed.scales.numpy()

    def activations(self) -> tuple[np.ndarray, np.ndarray]:
        """int8 [M, K] and float32 [M]."""
        import torch

        from fineq.quantizer.activations import quantize_activations

        generator = torch.Generator().manual_seed(self.seed + 1)
        integers, scales = quantize_activations(torch.randn(self.tokens, self.inner, generator=generator))
        return integers.numpy(), scales.numpy()

    @property
    def output_scale(self) -> float:
        """One step of an int8 result: four standard deviations make the range."""
        return 4 * self.inner**0.5 / 127
