"""The `quantization_config` of a FineQ model, as transformers reads and writes it."""

from __future__ import annotations

from typing import Any

from transformers.quantizers.auto import register_quantization_config
from transformers.utils.quantization_config import QuantizationConfigMixin

from fineq.checkpoint.fileformat import FORMAT_VERSION, QUANT_METHOD, PackedEntry, parse_settings


@register_quantization_config(QUANT_METHOD)
class FineqConfig(QuantizationConfigMixin):
    """What config.json says about a quantized model.

    Args:
        tensors: shape of each quantized tensor by name, [rows, K] or [experts, rows, K].
        recipe: how it was quantized.
        axis: `row` or `column`.
        format_version: of the checkpoint.
        quant_method: always `fineq`.
    """

    def __init__(
        self,
        tensors: dict[str, list[int]] | None = None,
        recipe: str = "custom",
        axis: str = "row",
        format_version: int = FORMAT_VERSION,
        quant_method: str = QUANT_METHOD,
        **kwargs: Any,
    ):
        self.quant_method = QUANT_METHOD  # type: ignore[assignment]  # transformers lists only its own methods
        self.format_version, self.recipe, self.axis = format_version, recipe, axis
        self.tensors = tensors or {}

    def entries(self) -> dict[str, PackedEntry]:
        """The packed tensors by name."""
        return parse_settings(self.to_dict())
