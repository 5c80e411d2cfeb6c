"""A Hugging Face model directory as input: its config and where each tensor lies."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.checkpoint.container import Container, TensorEntry, load_json, open_container
from fineq.common.errors import FineqError
from fineq.models.stored import REPORT_FILE

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
CARD_FILE = "README.md"
OTHER_WEIGHTS = (
    "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.npz", "*.gguf", "*.h5", "*.msgpack", "*.ot",
    "*.onnx", "*.onnx_data", "*.tflite", "*.mlmodel", "*.zip", "*.tar", "*.tar.*",
)  # fmt: skip
"""Weights in other forms, and archives: not read, not copied, not fetched."""

TEMPLATES = "additional_chat_templates"
"""Folder in which transformers keeps chat templates beyond the first."""

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """A model directory whose files have been checked against each other, except for the tensor bytes.

    Attributes:
        directory: where it lies.
        config: config.json as it stands.
        containers: the weight files in the order of their names.
        tensors: which weight file holds a tensor, in the order of the files.
        hub_id: of the hub model that was asked for.
    """

    directory: Path
    config: dict[str, Any]
    containers: list[Container]
    tensors: dict[str, Container]
    hub_id: str | None = None

    def entry(self, name: str) -> TensorEntry:
        return self.tensors[name].tensors[name]

    @property
    def is_sharded(self) -> bool:
        return [container.path.name for container in self.containers] != [WEIGHTS_FILE]

    def fingerprint(self) -> str:
        """Changes when any file that the quantized model is made from does.

        Weight files enter with name, size, modification time and header, not with every byte: reading all of a
        large model a second time would take as long as quantizing it.
        """
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for container in self.containers:
            status = container.path.stat()
            header = [[entry.name, entry.dtype, entry.shape, entry.start] for entry in container.tensors.values()]
            digest.update(json.dumps([container.path.name, status.st_size, status.st_mtime_ns, header]).encode())
        for path in self.other_files():
            digest.update(str(path.relative_to(self.directory)).encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()

    def other_files(self) -> list[Path]:
        """Everything that a quantized copy of the model takes over as it is: all files but weights, config.json and the
        card, so tokenizer, code, templates, licence and notices.
        """
        left_out = ("*.safetensors", "*.index.json", *OTHER_WEIGHTS, CONFIG_FILE, CARD_FILE, REPORT_FILE, ".*")
        places = [*self.directory.iterdir(), *(self.directory / TEMPLATES).glob("*.jinja")]
        return sorted(
            path
            for path in places
            if path.is_file() and not any(fnmatch.fnmatchcase(path.name, pattern) for pattern in left_out)
        )

    def base_model(self) -> str | None:
        """Hub id of the model, as far as known: what was asked for, or what its config says it was loaded from."""
        noted = self.config.get("_name_or_path")
        if self.hub_id or not isinstance(noted, str) or not HUB_ID.fullmatch(noted) or Path(noted).exists():
            return self.hub_id
        return noted


def open_source(model: str | Path) -> Source:
    """Open a local model directory, or fetch a model of the Hugging Face hub by its id.

    Raises:
        FineqError: there is no such model, or its files do not belong together.
    """
    directory = find_directory(model)
    config = load_json(directory / CONFIG_FILE, "the description of the model", special_floats=True)
    if not config.get("model_type") or not isinstance(config["model_type"], str):
        raise FineqError(f"{directory / CONFIG_FILE} names no architecture: it needs a model_type such as llama")
    if config.get("quantization_config") is not None:
        settings = config["quantization_config"]
        method = settings.get("quant_method", "unknown") if isinstance(settings, dict) else "unknown"
        raise FineqError(
            f"{directory} is already quantized (quant_method {method}): start from the full-precision model"
        )
    containers = open_weights(directory)
    tensors: dict[str, Container] = {}
    for container in containers:
        for name in container.tensors:
            if name in tensors:
                raise FineqError(
                    f"tensor {name} lies both in {tensors[name].path.name} and in {container.path.name}: remove one"
                )
            tensors[name] = container
    hub_id = None if Path(model).is_dir() else str(model)
    return Source(directory, config, containers, tensors, hub_id)


def open_weights(directory: Path) -> list[Container]:
    """The checked weight files of a model directory, by name.

    Raises:
        FineqError: no weights, a missing shard, an index that does not fit the shards, a damaged header.
    """
    index_path = directory / INDEX_FILE
    if (directory / WEIGHTS_FILE).is_file():
        if index_path.is_file():
            raise FineqError(f"{directory} has both {WEIGHTS_FILE} and {INDEX_FILE}: remove the one that is not meant")
        return [open_container(directory / WEIGHTS_FILE)]
    if not index_path.is_file():
        others = sorted(path.name for pattern in OTHER_WEIGHTS for path in directory.glob(pattern))
        hint = f"convert {others[0]} to safetensors" if others else "it is no complete model directory"
        raise FineqError(f"{directory} has neither {WEIGHTS_FILE} nor {INDEX_FILE}: {hint}")
    weight_map = load_json(index_path, "the list of shards").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise FineqError(f"{INDEX_FILE} has no weight_map: copy it again")
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise FineqError(f"{INDEX_FILE} puts {name} into {shard!r}, which is no name of a safetensors file")
    shards = sorted(set(weight_map.values()))
    missing = [shard for shard in shards if not (directory / shard).is_file()]
    if missing:
        raise FineqError(f"{len(missing)} of {len(shards)} shards are missing, first {missing[0]}: copy them again")
    containers = {shard: open_container(directory / shard) for shard in shards}
    for name, shard in weight_map.items():
        if name not in containers[shard].tensors:
            raise FineqError(f"{INDEX_FILE} puts tensor {name} into {shard}, which does not hold it: copy both again")
    for shard, container in containers.items():
        for name in container.tensors:
            if weight_map.get(name, shard) != shard:
                raise FineqError(f"tensor {name} lies both in {weight_map[name]} and in {shard}: remove one")
    return list(containers.values())


def find_directory(model: str | Path) -> Path:
    """The directory of a model: the path itself, or a download of the hub model of that id."""
    path = Path(model)
    if path.is_dir():
        return path
    if path.exists():
        raise FineqError(f"{model} is a file: give the model directory that holds config.json")
    if str(model).startswith((".", "/", "~")) or str(model).count("/") != 1:
        raise FineqError(f"{model} does not exist: give a model directory, or a hub id such as owner/name")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), ignore_patterns=[*OTHER_WEIGHTS, "*/*.safetensors"]))
    except Exception as error:
        raise FineqError(
            f"{model} is no directory, and the Hugging Face hub has no such model or cannot be reached "
            f"({type(error).__name__}): check the name, or download the model elsewhere and give its directory"
        ) from None
