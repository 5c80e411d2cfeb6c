"""FineQ inside transformers: import this, then `AutoModelForCausalLM.from_pretrained` loads a quantized model.

transformers is heavy, and this import does not load it. So registration waits until transformers itself loads
its table of quantization methods, which every `from_pretrained` does before it looks at a model's config.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

TABLE = "transformers.quantizers.auto"
"""The module of transformers that holds its quantization methods."""


def register() -> None:
    """Make transformers know FineQ: now if it is loaded already, else as soon as it is. Safe to call again."""
    if TABLE in sys.modules:
        _register_now()
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


def _register_now() -> None:
    import fineq.huggingface.quantizer  # noqa: F401  (registers itself)


class _Watch(importlib.abc.MetaPathFinder):
    """Lets Python find the table as usual, and registers FineQ right after it has been loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != TABLE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader):
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        _register_now()

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)


register()
