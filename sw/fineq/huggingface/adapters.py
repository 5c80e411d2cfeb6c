"""LoRA adapters of PEFT on packed layers.

The packed weights stay as they are; only the adapters beside them learn. PEFT has one place that knows which layer gets
which kind of adapter, and no way to add to it for all models, so `register` puts a function before it.
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from fineq.common.errors import FineqError
from fineq.huggingface.int8 import Int8TiedLinear
from fineq.huggingface.linear import FineqLinear, PackedModule

PACKAGE = "peft"

PLAIN_STARTS = (True, False, "gaussian")
"""Ways to begin an adapter that do not look at the weights beside it (`init_lora_weights`)."""


def register() -> None:
    """Make PEFT, if it is installed, put adapters on packed layers. Safe to call again."""
    if importlib.util.find_spec(PACKAGE) is None:
        return
    from peft.tuners.lora import LoraModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    original = LoraModel._create_new_module
    if getattr(original, "_knows_fineq", False):
        return
    kind = adapter_class()

    @functools.wraps(original)
    def create(lora_config: Any, adapter_name: str, target: nn.Module, **options: Any) -> nn.Module:
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if not isinstance(base, PackedModule | Int8TiedLinear):
            return original(lora_config, adapter_name, target, **options)
        if not isinstance(base, FineqLinear):
            raise FineqError(f"{type(base).__name__} cannot get an adapter: name linear layers in target_modules")
        return kind(target, adapter_name, lora_config, **options)

    create._knows_fineq = True  # type: ignore[attr-defined]
    name = original.__name__  # types do not let a method be assigned
    setattr(LoraModel, name, staticmethod(create))


@functools.cache
def adapter_class() -> Any:
    """The class of an adapter on a packed layer: made when it is first wanted, as PEFT takes a second to load."""
    from peft.tuners.lora import LoraLayer

    class FineqLora(nn.Module, LoraLayer):
        """A packed layer and its adapters.

        Args:
            base_layer: the packed layer.
            adapter_name: of the first adapter.
            config: of PEFT.
            r, lora_alpha: rank, and factor times rank, of the adapter.
        """

        def __init__(
            self, base_layer: FineqLinear, adapter_name: str, config: Any, r: int = 0, lora_alpha: int = 1, **_: Any
        ):
            super().__init__()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Unsupported layer type")  # PEFT asks any class it does not know
                LoraLayer.__init__(self, base_layer)
            self._active_adapter = adapter_name
            self.update_layer(adapter_name, r, lora_alpha=lora_alpha, config=config)

        def update_layer(self, adapter_name: str, r: int, lora_alpha: int, config: Any, **options: Any) -> None:
            """Add an adapter.

            Raises:
                FineqError: it is of a kind that needs the weights of the layer.
            """
            layer: Any = self
            try:
                is_plain = layer.resolve_lora_variant(config=config) is None
            except ValueError:  # a variant that only layers of PEFT's own have
                is_plain = False
            if not is_plain or config.init_lora_weights not in PLAIN_STARTS:
                raise FineqError(
                    "an adapter on packed weights can only be plain LoRA that starts at random or at zero: leave "
                    "use_dora, init_lora_weights and the like at their defaults"
                )
            LoraLayer.update_layer(self, adapter_name, r, lora_alpha=lora_alpha, config=config, **options)

        def forward(self, x: Tensor, *args: Any, **named: Any) -> Tensor:
            """[..., in_features] to [..., out_features], in the type of the packed layer's outputs."""
            layer: Any = self
            y = layer.base_layer(x)
            if layer.disable_adapters:
                return y
            for name in layer.active_adapters:
                if name not in layer.lora_A:
                    continue
                down, up = layer.lora_A[name], layer.lora_B[name]
                inputs = x if torch.is_autocast_enabled(x.device.type) else x.to(down.weight.dtype)
                y = y + (up(down(layer.lora_dropout[name](inputs))) * layer.scaling[name]).to(y.dtype)
            return y

        def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
            raise FineqError(
                "adapters cannot be merged into packed weights, which would have to be quantized again: call "
                "`dequantize()` on the model first, or keep the adapters beside it"
            )

        def unmerge(self) -> None:
            raise FineqError("adapters are never merged into packed weights: there is nothing to take apart")

        def __repr__(self) -> str:
            return "lora." + super().__repr__()

    return FineqLora
