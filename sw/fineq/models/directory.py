"""Model directories in Hugging Face layout: whether one is whole, and which one it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fineq.common.errors import FineqError


def check_model_directory(path: Path) -> dict[str, Any]:
    """Check that `path` is a whole local model and return its config.json.

    Raises:
        FineqError: no directory, no or unreadable config, no architecture, missing or damaged weight files.
    """
    path = Path(path)
    if not path.is_dir():
        raise FineqError(f"{path} is not a directory: give a local model directory in Hugging Face layout")
    config = _read_json(path / "config.json", "the model's configuration")
    if not config.get("architectures") or "model_type" not in config:
        raise FineqError(f"{path}/config.json names no architecture: it needs 'architectures' and 'model_type'")
    index = path / "model.safetensors.index.json"
    if index.exists():
        places = _read_json(index, "the index of the weight files").get("weight_map")
        if not isinstance(places, dict) or not places:
            raise FineqError(f"{index} has no 'weight_map': download the model again")
    else:
        places = None
    shards = sorted(set(places.values())) if places else ["model.safetensors"]
    missing = [shard for shard in shards if not (path / shard).is_file()]
    if missing:
        raise FineqError(f"{path} lacks the weight file {missing[0]}: FineQ reads safetensors; complete the download")
    for shard in shards:
        try:
            with safe_open(path / shard, framework="pt") as file:
                held = set(file.keys())
        except (OSError, SafetensorError) as error:
            raise FineqError(f"cannot read {path / shard}: {error}") from error
        absent = sorted(name for name, place in (places or {}).items() if place == shard and name not in held)
        if absent:
            raise FineqError(f"{index} places {absent[0]} in {shard}, which does not hold it: download the model again")
    return config


def _read_json(path: Path, what: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FineqError(f"{path.parent} has no {path.name}: {what} must lie beside the weights") from error
    except (OSError, ValueError) as error:
        raise FineqError(f"cannot read {path}: it is not valid JSON") from error
    if not isinstance(content, dict):
        raise FineqError(f"cannot read {path}: it is not a JSON object")
    return content


def model_fingerprint(path: Path) -> str:
    """SHA-256 over config, tokenizer and weight files of a model directory: equal for equal behaviour."""
    total = hashlib.sha256()
    names = ("config.json", "tokenizer*", "vocab.json", "merges.txt", "*.safetensors")
    for file in sorted({file for name in names for file in Path(path).glob(name)}):
        with file.open("rb") as stream:
            total.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()
