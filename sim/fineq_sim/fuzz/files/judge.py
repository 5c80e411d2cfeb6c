"""Loads a mutant and says what became of it: accepted, refused with a sentence, or a fault of the reader."""

from __future__ import annotations

import json
import os
import resource
import signal
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

import numpy as np
import torch

from fineq import kernels
from fineq.checkpoint.config_match import first_difference
from fineq.checkpoint.container import Container, load_json, open_container
from fineq.checkpoint.fileformat import BLOCKS, PackedEntry, check_checkpoint, config_fields
from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq_sim.fuzz.files import reference
from fineq_sim.fuzz.files.parts import CONFIG_FILE, Case, shard_names

SECONDS = 20
"""Longer than that, a reader hangs."""

SLACK_BYTES = 1 << 20
"""What Python needs to parse anything at all, beyond twice the files."""

ADDRESS_SPACE = 1 << 30
"""What may be mapped beyond what was when the fuzz began."""


_MANNER_FILE = "judged.json"


class Hang(BaseException):
    """The reader does not come back."""


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes:
        verdict: `accepted`, `refused` or `fault`.
        place: where in the reader it was refused, `file:line`; of a fault, its kind.
        sentence: the error's text, or what is wrong with the reader.
        trail: lines that the refusal passed through: two mutants with one trail say the same about the reader.
    """

    verdict: str
    place: str = ""
    sentence: str = ""
    trail: tuple[int, ...] = ()


@dataclass(frozen=True)
class Manner:
    """What is asked of a case beside whether it is read right.

    Attributes:
        origin: config.json that it had, if that alone was changed: it must mean the same.
        sound: whether it was refused though sound; its files repeat its config.json honestly.
        memory: what the reader allocates.
    """

    origin: bytes | None = None
    sound: bool = False
    memory: bool = False

    def write(self, directory: Path) -> None:
        origin = None if self.origin is None else self.origin.decode("latin-1")
        content = {"origin": origin, "sound": self.sound, "memory": self.memory}
        write_text(directory / _MANNER_FILE, json.dumps(content))

    @classmethod
    def read(cls, directory: Path) -> Manner:
        """From a directory of a failure; of another one: all that needs no origin."""
        if not (directory / _MANNER_FILE).is_file():
            return cls(memory=True)
        content = json.loads((directory / _MANNER_FILE).read_text(encoding="utf-8"))
        origin = content.pop("origin")
        return cls(origin if origin is None else origin.encode("latin-1"), **content)


class Judge:
    """Loads cases from one directory.

    Args:
        directory: files are written there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / CONFIG_FILE
        self._shards: dict[int, list[Path]] = {}
        self._files: dict[Path, int] = {}
        self._written: dict[Path, bytes] = {}

    def close(self) -> None:
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def judge(self, case: Case, manner: Manner = Manner()) -> Outcome:  # noqa: B008  (frozen)
        """Load a case."""
        paths = self._put(case)
        outcome = self._load(case, paths, manner.memory)
        if outcome.verdict == "accepted" and manner.origin is not None:
            return _same_meaning(manner.origin, case.config) or outcome
        if outcome.verdict == "refused" and manner.sound and _is_sound(case):
            return Outcome("fault", "refused, though sound", outcome.sentence)
        return outcome

    def _put(self, case: Case) -> list[Path]:
        count = len(case.shards)
        if count not in self._shards:
            self._shards[count] = [self._directory / name for name in shard_names(count)]
        paths = self._shards[count]
        for path, content in [*zip(paths, case.shards, strict=True), (self._config, case.config)]:
            if self._written.get(path) is not content:
                self._write(path, content)
        return paths

    def _write(self, path: Path, content: bytes) -> None:
        """Into a file that stays open: making it anew each time takes longer than all the rest."""
        if path not in self._files:
            self._files[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        os.pwrite(self._files[path], content, 0)
        os.ftruncate(self._files[path], len(content))
        self._written[path] = content

    def _load(self, case: Case, paths: list[Path], memory: bool) -> Outcome:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            if memory:
                tracemalloc.start()
            try:
                config = load_json(self._config, "the description of the model", special_floats=True)
                packed = check_checkpoint(paths, config)
            finally:
                peak = tracemalloc.get_traced_memory()[1] if memory else 0
                if memory:
                    tracemalloc.stop()
            if peak > 2 * case.nbytes + SLACK_BYTES:
                return Outcome("fault", "memory", f"{peak} bytes taken for files of {case.nbytes}")
            return self._compare(case, paths, packed)
        except FineqError as error:
            return _refusal(error)
        except Hang:
            return Outcome("fault", "hang", f"no answer after {SECONDS} s")
        except Exception as error:
            return Outcome("fault", type(error).__name__, str(error)[:500])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _compare(self, case: Case, paths: list[Path], packed: dict[str, PackedEntry]) -> Outcome:
        """What was accepted is what the bytes say, also to the library that transformers reads with."""
        try:
            content = reference.read(case)
        except reference.Unsound:
            return Outcome("fault", "accepted, though unsound")
        containers = [open_container(path) for path in paths]
        if problem := _differs(content, containers, packed) or _library_differs(content, paths):
            return Outcome("fault", "misread", problem)
        return Outcome("accepted", trail=(len(content.tensors), len(content.codes), len(paths)))


def _refusal(error: FineqError) -> Outcome:
    text = str(error)
    if not text.isprintable() or not text:
        return Outcome("fault", "not one sentence", repr(text)[:500])
    trail, file = [], ""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        trail.append(trace.tb_lineno)
        file = trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    return Outcome("refused", f"{os.path.basename(file)}:{trail[-1]}", text, tuple(trail))


def _differs(content: reference.Content, containers: list[Container], packed: dict[str, PackedEntry]) -> str:
    found = {name: container for container in containers for name in container.tensors}
    if found.keys() != content.tensors.keys():
        return "other tensors"
    for name, (dtype, shape, data) in content.tensors.items():
        entry = found[name].tensors[name]
        values = found[name].read(name)
        if (entry.dtype, entry.shape) != (dtype, shape) or values.view(torch.uint8).numpy().tobytes() != data:
            return f"tensor {name}"
    if packed.keys() != content.codes.keys():
        return "other packed tensors"
    for name, codes in content.codes.items():
        blocks = np.frombuffer(content.tensors[f"{name}.{BLOCKS}"][2], np.uint8).reshape(len(codes), -1)
        native = kernels.unpack(blocks, codes.shape[1], False)
        if native is not None and not np.array_equal(native, codes):
            return f"codes of {name}"
    return ""


def _library_differs(content: reference.Content, paths: list[Path]) -> str:
    from safetensors import SafetensorError, safe_open

    seen = 0
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                for name in file.keys():
                    seen += 1
                    dtype, shape, data = content.tensors[name]
                    tensor = file.get_tensor(name)
                    same = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() == data
                    if tuple(tensor.shape) != shape or not same:
                        return f"the safetensors library reads another {name}"
        except SafetensorError as error:
            return f"the safetensors library refuses the file: {error}"
    return "" if seen == len(content.tensors) else "the safetensors library sees other tensors"


def _is_sound(case: Case) -> bool:
    try:
        reference.read(case)
    except reference.Unsound:
        return False
    return True


def _same_meaning(origin: bytes, config: bytes) -> Outcome | None:
    """Of an accepted case whose config.json alone was changed: its meaning was not."""
    before, after = json.loads(origin), json.loads(config)
    settings = [json.dumps(each.get("quantization_config"), sort_keys=True) for each in (before, after)]
    if settings[0] != settings[1]:
        return Outcome("fault", "misread", "another quantization_config was accepted")
    difference = first_difference(config_fields(before), config_fields(after))
    return None if difference is None else Outcome("fault", "misread", f"another {difference[0]} was accepted")


@contextmanager
def limits() -> Iterator[None]:
    """Within, the process can map little more than it has, and a reader that hangs is interrupted."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, interrupt)
    if pages:
        most = pages * resource.getpagesize() + ADDRESS_SPACE
        hard = before[1]
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)
