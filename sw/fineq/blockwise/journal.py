"""What a run has finished, on disk: a file per block, and the calibration windows as they leave the last of them.

Files appear whole or not at all, the block before the windows behind it: whenever a run is killed, what the windows
say is finished is there.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
TEACHER = "teacher.safetensors"
TUNING = "tuning.safetensors"
TUNED = "tuned.safetensors"
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
        self.write_block(number, result.packed, result.changed, recipe, unseen)
        self.write_stream(number + 1, result.stream)

    def write_block(
        self,
        number: int,
        packed: Mapping[str, PackedWeight],
        changed: Mapping[str, torch.Tensor],
        recipe: str,
        unseen: list[str],
    ) -> None:
        """Keep what a block has become."""
        self._write_layers(self._block(number), packed, changed, recipe, unseen)

    def has_block(self, number: int) -> bool:
        """Whether a block is kept."""
        return self._block(number).is_file()

    def write_stream(self, finished: int, stream: Stream) -> None:
        """Keep what leaves the first `finished` blocks, and that they are finished."""
        tensors = {"hidden": stream.hidden}
        if stream.exact is not stream.hidden:
            tensors["exact"] = stream.exact
        _save(self.directory / STREAM, tensors, {"finished": str(finished)})

    def batch(self, finished: int, number: int) -> Path:
        """Where a batch of the windows lies, as it leaves the first `finished` blocks, when many machines calibrate."""
        return self.directory / f"windows-{finished:04d}-{number:04d}.safetensors"

    def write_batch(self, finished: int, number: int, stream: Stream) -> None:
        """Keep such a batch."""
        _save(self.batch(finished, number), {"hidden": stream.hidden, "exact": stream.exact}, {})

    def read_batch(self, finished: int, number: int) -> Stream:
        """What `write_batch` kept."""
        with self._open(self.batch(finished, number)) as file:
            return Stream(file.get_tensor("hidden"), file.get_tensor("exact"))

    def unseen(self, blocks: int) -> list[str]:
        """Layers of the first `blocks` that saw no calibration text."""
        found: list[str] = []
        for number in range(blocks):
            with self._open(self._block(number)) as file:
                found += json.loads(file.metadata()[UNSEEN])
        return found

    def results(self, blocks: int) -> tuple[PackedLayers, dict[str, torch.Tensor]]:
        """Packed weights by layer name, read when asked for, and other parameters that changed."""
        return self._read_layers([self._block(number) for number in range(blocks)])

    def write_teacher(self, finished: int, hidden: torch.Tensor) -> None:
        """Keep what leaves the first `finished` full-precision blocks for the windows that tuning sees."""
        _save(self.directory / TEACHER, {"hidden": hidden}, {"finished": str(finished)})

    def teacher(self) -> tuple[int, torch.Tensor] | None:
        """What `write_teacher` kept last."""
        if not (self.directory / TEACHER).is_file():
            return None
        with self._open(self.directory / TEACHER) as file:
            return int(file.metadata()["finished"]), file.get_tensor("hidden")

    def write_tuned(self, packed: Mapping[str, PackedWeight], changed: Mapping[str, torch.Tensor], recipe: str) -> None:
        """Keep what tuning made of all layers."""
        self._write_layers(self.directory / TUNED, packed, changed, recipe)

    def tuned(self) -> tuple[PackedLayers, dict[str, torch.Tensor]] | None:
        """As `results`, if tuning is finished."""
        return self._read_layers([self.directory / TUNED]) if (self.directory / TUNED).is_file() else None

    def _write_layers(
        self,
        path: Path,
        packed: Mapping[str, PackedWeight],
        changed: Mapping[str, torch.Tensor],
        recipe: str,
        unseen: Sequence[str] = (),
    ) -> None:
        tensors: dict[str, torch.Tensor] = {}
        for name, layer in packed.items():
            tensors[BLOCKS + name], tensors[SCALES + name] = layer.blocks, layer.scales
        tensors |= {CHANGED + name: value for name, value in changed.items()}
        shapes = {name: list(layer.shape) for name, layer in packed.items()}
        _save(path, tensors, {"recipe": recipe, "shapes": json.dumps(shapes), UNSEEN: json.dumps([*unseen])})

    def _read_layers(self, paths: list[Path]) -> tuple[PackedLayers, dict[str, torch.Tensor]]:
        changed = {}
        for path in paths:
            with self._open(path) as file:
                for name in file.keys():
                    if name.startswith(CHANGED):
                        changed[name.removeprefix(CHANGED)] = file.get_tensor(name)
        return PackedLayers(paths), changed

    def remove(self) -> None:
        """The run is over."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _block(self, number: int) -> Path:
        return self.directory / f"block-{number:04d}.safetensors"

    def _open(self, path: Path) -> Any:
        return _open(path)


class TuningJournal:
    """Where the tuning of a run stands, beside its blocks.

    Args:
        journal: of the run.
        seconds: that pass at least between two savings; saving never takes more than a twentieth of the time.
    """

    def __init__(self, journal: BlockJournal, seconds: float = 60.0):
        self._path, self._seconds = journal.directory / TUNING, seconds
        self._saved, self._took = time.monotonic(), 0.0

    @property
    def steps(self) -> int:
        """That are done."""
        if not self._path.is_file():
            return 0
        with _open(self._path) as file:
            return int(file.metadata()["steps"])

    def load(self) -> tuple[int, dict[str, torch.Tensor]] | None:
        """See `fineq.calibrated.tuning.State`."""
        if not self._path.is_file():
            return None
        with _open(self._path) as file:
            return self.steps, {name: file.get_tensor(name) for name in file.keys()}

    def save(self, steps: int, tensors: Callable[[], dict[str, torch.Tensor]]) -> None:
        """Keep the tensors, if enough time has passed."""
        began = time.monotonic()
        if began - self._saved < max(self._seconds, 20 * self._took):
            return
        _save(self._path, tensors(), {"steps": str(steps)})
        self._saved = time.monotonic()
        self._took = self._saved - began


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
