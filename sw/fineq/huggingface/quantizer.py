"""FineQ's `HfQuantizer`: checks a quantized checkpoint, swaps the layers, and saves it again with checksums."""

from __future__ import annotations

import json
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.quantizers.auto import register_quantizer
from transformers.quantizers.base import HfQuantizer

from fineq.checkpoint.container import DTYPES, load_json, tensor_hash
from fineq.checkpoint.fileformat import QUANT_METHOD, check_checkpoint, file_metadata
from fineq.common.errors import FineqError
from fineq.huggingface import adapters
from fineq.huggingface.config import FineqConfig
from fineq.huggingface.int8 import Int8Embedding
from fineq.huggingface.linear import FineqEmbedding, FineqExperts, PackedModule, set_activation
from fineq.operators.library import check_activation

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@register_quantizer(QUANT_METHOD)
class FineqHfQuantizer(HfQuantizer):
    """Loads models that `fineq quantize` wrote. Models are quantized by that command, not on the fly."""

    quantization_config: FineqConfig

    def validate_environment(self, *args: Any, **kwargs: Any) -> None:
        if not self.pre_quantized:
            raise FineqError("from_pretrained cannot quantize: run `fineq quantize` and load the directory it writes")

    def _process_model_before_weight_loading(
        self, model: PreTrainedModel, checkpoint_files: list[str] | None = None, **kwargs: Any
    ) -> None:
        from fineq.huggingface.swap import swap_layers

        if not checkpoint_files:
            raise FineqError("a FineQ model can only be loaded from a directory, so that its checksums can be checked")
        files = [Path(file) for file in checkpoint_files]
        config = load_json(files[0].parent / "config.json", "the description of the model", special_floats=True)
        entries = check_checkpoint(files, config)
        for entry in entries.values():
            check_activation(self.quantization_config.activation, entry.axis)
        swap_layers(model, entries)

    def update_weight_conversions(self, weight_conversions: list[Any], model: PreTrainedModel) -> list[Any]:
        """Teach transformers' renaming of tensors about packed ones."""
        from fineq.checkpoint.names import packed_conversions

        stacks = {name: module.sources for name, module in model.named_modules() if isinstance(module, FineqExperts)}
        return packed_conversions(weight_conversions, stacks)

    def _process_model_after_weight_loading(self, model: PreTrainedModel, **kwargs: Any) -> PreTrainedModel:
        """Raise if a packed module was left as it was made: transformers fills what it misses with raw memory."""
        empty = [
            name for name, module in model.named_modules() if isinstance(module, PackedModule) and module.is_empty()
        ]
        if empty:
            shown = ", ".join(empty[:3]) + (f" and {len(empty) - 3} more" if len(empty) > 3 else "")
            raise FineqError(
                f"the checkpoint was loaded without the packed weights of {shown}: transformers "
                f"{metadata.version('transformers')} did not find them under their names; quantize the model again "
                "with this release"
            )
        set_activation(model, self.quantization_config.activation)
        model.num_parameters = partial(count_weights, model)  # type: ignore[method-assign]
        adapters.register()
        return model

    def get_state_dict_and_metadata(self, model: PreTrainedModel) -> tuple[None, dict[str, str]]:
        """Checksums for `save_pretrained`, of the tensors under the names that they get in the file."""
        from transformers.core_model_loading import revert_weight_conversion
        from transformers.integrations.accelerate import load_offloaded_parameter
        from transformers.modeling_utils import remove_tied_weights_from_state_dict

        state = remove_tied_weights_from_state_dict(model.state_dict(), model)
        state = {name: load_offloaded_parameter(model, name) if t.is_meta else t for name, t in state.items()}
        state = revert_weight_conversion(model, state)
        checksums = {name: _digest(name, tensor) for name, tensor in state.items()}
        config = json.loads(model.config.to_json_string(use_diff=True))
        return None, file_metadata(checksums, config, len(checksums))

    def _dequantize(self, model: PreTrainedModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
        """`model.dequantize()`: ordinary layers again, with the weights that the packed ones stand for."""
        from fineq.huggingface.swap import unpack_layers

        unpack_layers(model, dtype)
        return model

    def is_serializable(self) -> bool:
        return True

    @property
    def is_trainable(self) -> bool:
        """Adapters beside packed weights are; transformers refuses by itself to train a packed model without any."""
        return True


def count_weights(model: PreTrainedModel, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
    """`model.num_parameters()` that counts packed weights too: transformers takes buffers for none. They are not
    trainable.
    """
    count = type(model).num_parameters(model, only_trainable, exclude_embeddings)
    if only_trainable:
        return count
    left_out = (FineqEmbedding, Int8Embedding) if exclude_embeddings else ()
    packed = [module for module in model.modules() if isinstance(module, PackedModule)]
    return count + sum(module.weights for module in packed if not isinstance(module, left_out))


def _digest(name: str, tensor: Tensor) -> str:
    dtype = next(key for key, value in DTYPES.items() if value == tensor.dtype)
    digest = tensor_hash(name, dtype, tuple(tensor.shape))
    digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
