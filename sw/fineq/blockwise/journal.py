"""What a run has finished, on disk: a file per block, and the calibration windows as they leave the last of them.

Files appear whole or not at all, the block before the windows behind it: whenever a run is killed, what the windows
say is finished is there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fineq.calibrated.layerwise import BlockResult, Stream
from fineq.common.errors import FineqError
from fineq.common.files import replacing, write_text
from fineq.quantizer.packed import PackedWeight

FINGERPRINT = "run.json"
STREAM = "windows.safetensors"
BLOCKS, SCALES, CHANGED = "blocks.", "scales.", "changed."
"""Before the names of layers and parameters in a block's file."""
UNSEEN = "unseen"
"""In the metadata of a block's file: its layers that saw no calibration text, as a JSON list."""


class BlockJournal:
    """The directory of a run.

    Args:
        directory: where it is or will be.
        fingerprint: texts that must be the same for a run that goes on.

    Raises:
        FineqError: the directory holds another run, or cannot be written.
    """

    def __init__(self, directory: Path, fingerprint: dict[str, str]):
        self.directory = directory
        stored = self._stored_fingerprint()
        if stored is not None:
            different = [what for what in fingerprint if stored.get(what) != fingerprint[what]]
            if different:
                raise FineqError(
                    f"{directory} was begun with another {' and '.join(different)}: repeat that run exactly, or remove "
                    "it and start again without --resume"
                )
            return
        try:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            write_text(directory / FINGERPRINT, json.dumps(fingerprint) + "\n")
        except OSError as error:
            raise FineqError(f"cannot write {directory}: {error.strerror or error}") from None

    def _stored_fingerprint(self) -> dict[str, str] | None:
        try:
            return json.loads((self.directory / FINGERPRINT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}

    def resume(self) -> tuple[int, Stream] | None:
        """The number of finished blocks and what leaves the last of them; None: nothing is finished."""
        if not (self.directory / STREAM).is_file():
            return None
        with self._open(self.directory / STREAM) as file:
            hidden = file.get_tensor("hidden")
            exact = file.get_tensor("exact") if "exact" in file.keys() else hidden
            return int(file.metadata()["finished"]), Stream(hidden, exact)

    def write(self, number: int, result: BlockResult, recipe: str, unseen: list[str]) -> None:
        """Keep a finished block, its layers that saw no text, and what leaves it."""
        tensors: dict[str, torch.Tensor] = {}
        for name, packed in result.packed.items():
            tensors[BLOCKS + name], tensors[SCALES + name] = packed.blocks, packed.scales
        tensors |= {CHANGED + name: value for name, value in result.changed.items()}
        shapes = {name: list(packed.shape) for name, packed in result.packed.items()}
        about = {"recipe": recipe, "shapes": json.dumps(shapes), UNSEEN: json.dumps(unseen)}
        _save(self._block(number), tensors, about)
        stream = {"hidden": result.stream.hidden}
        if result.stream.exact is not result.stream.hidden:
            stream["exact"] = result.stream.exact
        _save(self.directory / STREAM, stream, {"finished": str(number + 1)})

    def unseen(self, blocks: int) -> list[str]:
        """Layers of the first `blocks` that saw no calibration text."""
        found: list[str] = []
        for number in range(blocks):
            with self._open(self._block(number)) as file:
                found += json.loads(file.metadata()[UNSEEN])
        return found

    def results(self, blocks: int) -> tuple[PackedLayers, dict[str, torch.Tensor]]:
        """Packed weights by layer name, read when asked for, and other parameters that changed."""
        changed = {}
        for number in range(blocks):
            with self._open(self._block(number)) as file:
                for name in file.keys():
                    if name.startswith(CHANGED):
                        changed[name.removeprefix(CHANGED)] = file.get_tensor(name)
        return PackedLayers([self._block(number) for number in range(blocks)]), changed

    def remove(self) -> None:
        """The run is over."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _block(self, number: int) -> Path:
        return self.directory / f"block-{number:04d}.safetensors"

    def _open(self, path: Path) -> Any:
        return _open(path)


class PackedLayers(Mapping[str, PackedWeight]):
    """Packed weights by layer name, in files of blocks; each is read when it is asked for."""

    def __init__(self, files: list[Path]):
        self._files = files

    @cached_property
    def _places(self) -> dict[str, tuple[Path, tuple[int, int], str]]:
        places = {}
        for path in self._files:
            with _open(path) as file:
                metadata = file.metadata()
            for name, (rows, columns) in json.loads(metadata["shapes"]).items():
                places[name] = path, (rows, columns), metadata["recipe"]
        return places

    def __getitem__(self, name: str) -> PackedWeight:
        path, shape, recipe = self._places[name]
        with _open(path) as file:
            blocks, scales = file.get_tensor(BLOCKS + name), file.get_tensor(SCALES + name)
        return PackedWeight(blocks, scales, shape, recipe=recipe)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise FineqError(
            f"cannot read {path}: {error}: remove {path.parent} and start again without --resume"
        ) from error


def _save(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    try:
        with replacing(path) as aside:
            save_file({name: value.contiguous() for name, value in tensors.items()}, aside, metadata)
    except (OSError, SafetensorError) as error:
        raise FineqError(f"cannot write {path}: {error}") from None
