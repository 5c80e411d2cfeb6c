"""The `quantization_config` of a FineQ model, as transformers reads and writes it."""

from __future__ import annotations

from typing import Any

from transformers.quantizers import auto
from transformers.quantizers.auto import register_quantization_config
from transformers.utils.quantization_config import QuantizationConfigMixin

from fineq.checkpoint.fileformat import FORMAT_VERSION, QUANT_METHOD, PackedEntry, parse_settings
from fineq.models.stored import INT8_TENSORS
from fineq.operators.library import check_activation


@register_quantization_config(QUANT_METHOD)
class FineqConfig(QuantizationConfigMixin):
    """What config.json says about a quantized model.

    Args:
        tensors: shape of each tensor in FineQ's blocks by name, [rows, K] or [experts, rows, K].
        recipe: how it was quantized.
        axis: `row` or `column`.
        format_version: of the checkpoint.
        quant_method: always `fineq`.
        activation: of `fineq.operators.ACTIVATIONS`, what the packed linear layers do with their inputs. Says how a
            model is loaded, not what it is: no checkpoint carries it.
        int8_tensors: shape of each tensor that is stored with 8 bits, by name, [rows, K].
    """

    def __init__(
        self,
        tensors: dict[str, list[int]] | None = None,
        recipe: str = "custom",
        axis: str = "row",
        format_version: int = FORMAT_VERSION,
        quant_method: str = QUANT_METHOD,
        activation: str = "float",
        int8_tensors: dict[str, list[int]] | None = None,
        **kwargs: Any,
    ):
        self.quant_method = QUANT_METHOD  # type: ignore[assignment]  # transformers lists only its own methods
        self.format_version, self.recipe, self.axis = format_version, recipe, axis
        self.tensors, self.int8_tensors = tensors or {}, int8_tensors or {}
        self.activation = check_activation(activation, axis)

    def get_loading_attributes(self) -> dict[str, str]:
        """What `from_pretrained(..., quantization_config=FineqConfig(...))` takes from its argument."""
        return {"activation": check_activation(self.activation, self.axis)}

    def to_dict(self) -> dict[str, Any]:
        left_out = {"activation"} | (set() if self.int8_tensors else {INT8_TENSORS})
        return {name: value for name, value in super().to_dict().items() if name not in left_out}

    def entries(self) -> dict[str, PackedEntry]:
        """The packed tensors by name."""
        return parse_settings(self.to_dict())


# transformers asks these classes alone for loading attributes, and has no function that adds to them.
_types: Any = auto
_types.LOADING_ATTRIBUTES_CONFIG_TYPES = (*auto.LOADING_ATTRIBUTES_CONFIG_TYPES, FineqConfig)
