"""Measure many combinations of model, method, text and window length, and keep what is finished.

A cell is one perplexity. Each finished cell is a small file in the cache, named by everything that decides its
value, so that an interrupted run goes on where it stopped and an unchanged one costs nothing.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cache as memoize
from itertools import product
from pathlib import Path
from typing import Any

from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.common.files import write_text
from fineq.common.progress import Progress
from fineq.evaluation.evaluate import Evaluation, measure, prepare
from fineq.evaluation.method import Method
from fineq.evaluation.methods import find_method
from fineq.evaluation.perplexity import Text
from fineq.evaluation.stored_methods import method_for
from fineq.models.directory import check_model_directory, model_fingerprint


def default_cache() -> Path:
    """Where finished cells are kept: `fineq/cells` in the user's cache directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fineq" / "cells"


@dataclass(frozen=True)
class Plan:
    """What to measure: all combinations of the lists."""

    models: list[Path]
    methods: list[str | Method]
    """By name, or as they are; equal names must mean equal methods."""
    texts: list[Text]
    calibration: Text | None = None
    sequence_lengths: tuple[int | None, ...] = (None,)
    """None: the model's longest context, at most 2048."""
    max_windows: int | tuple[int, ...] | None = None
    """Measure only the first windows: of every text, or of each in turn."""
    calibration_windows: int | None = None
    """Of the calibration text to look at; None: as many as a method does, at most 128."""
    stored: tuple[Path, ...] = ()
    """Directories of the only model that are quantized already: measured as they are, beside the methods."""
    cache: Path | None = None
    """None: `default_cache`."""

    def windows_of(self, text: Text) -> int | None:
        """How many windows of a text are measured at most; None: all."""
        if isinstance(self.max_windows, tuple):
            return self.max_windows[self.texts.index(text)]
        return self.max_windows


@dataclass(frozen=True)
class Cell:
    """One measured combination, as `Evaluation.to_json` gives it."""

    model: str
    method: Method
    text: str
    sequence_length: int
    bits: float | None
    """True bits per weight with scales and padding; None: not quantized."""
    nll: float
    perplexity: float
    record: dict[str, Any]


def measure_cells(plan: Plan, progress: Progress | None = None) -> list[Cell]:
    """All cells of a plan, models outermost, then methods, texts and lengths; measured or from the cache.

    Raises:
        FineqError: bad model, text or method; two models or two texts of one name; windows that are not one number, or
            one for each text; stored models that are not quantized, or of more than one model.
    """
    if isinstance(plan.max_windows, tuple) and len(plan.max_windows) != len(plan.texts):
        raise FineqError(f"there are {len(plan.texts)} texts: give --windows once, or once for each of them")
    for what, names in (("models", [p.resolve().name for p in plan.models]), ("texts", [t.name for t in plan.texts])):
        if len(set(names)) < len(names):
            raise FineqError(f"two of the {what} have the same name: rename one, or the table cannot tell them apart")
    methods = [method if isinstance(method, Method) else find_method(method) for method in plan.methods]
    for path in plan.models:
        check_model_directory(path)
    subjects = [(path, path.resolve().name, method) for path, method in product(plan.models, methods)]
    subjects += [(path, plan.models[0].resolve().name, _stored_method(path)) for path in plan.stored]
    if plan.stored and len(plan.models) > 1:
        raise FineqError("models that are quantized already are of one model: give that one alone")
    cells = []
    for number, (path, name, method) in enumerate(subjects):
        if progress:
            progress(f"{name}, {method.title}", number, len(subjects))
        wanted = list(product(plan.texts, plan.sequence_lengths))
        files = [_cell_file(plan, path, method, text, length) for text, length in wanted]
        records = [_read(file) for file in files]
        if None in records:
            applied = find_method("none") if method.stored is not None else method
            subject = prepare(path, applied, plan.calibration, calibration_windows=plan.calibration_windows)
            for place, (text, length) in enumerate(wanted):
                if records[place] is None:
                    result = measure(subject, text, length, max_windows=plan.windows_of(text))
                    records[place] = _write(files[place], result)
        cells += [_cell(name, method, record) for record in records if record is not None]
    if progress:
        progress("done", len(subjects), len(subjects))
    return cells


def _stored_method(path: Path) -> Method:
    """The method that a directory is stored in, under the directory's name."""
    check_model_directory(path)
    method = method_for(path, find_method("none"))
    if method.stored is None:
        raise FineqError(f"{path} is not quantized: give it as the model, or make it with `fineq quantize`")
    name = path.resolve().name
    return replace(method, name=name, title=f"{method.title.removesuffix(', as stored')}, {name} as stored")


def _cell(model: str, method: Method, record: dict[str, Any]) -> Cell:
    result = record["result"]
    return Cell(
        model, method, record["text"], result["sequence_length"], record["bits_per_weight"],
        result["nll"], result["perplexity"], record,
    )  # fmt: skip


def _cell_file(plan: Plan, path: Path, method: Method, text: Text, length: int | None) -> Path:
    subject = [path.resolve().name, _fingerprint(path)]
    needed = plan.calibration if method.needs_calibration else None
    fitting = [needed.sha256, plan.calibration_windows] if needed else None
    inputs = [subject, method.name, fitting, text.name, text.sha256, length, plan.windows_of(text)]
    return (plan.cache or default_cache()) / f"{cache_key(*deciding_modules(method), inputs=inputs)}.json"


def deciding_modules(method: Method) -> list[str]:
    """Modules that decide what a method does and how it is measured."""
    return ["fineq.evaluation.evaluate", *([method.module] if method.module else [])]


@memoize
def _fingerprint(path: Path) -> str:
    return model_fingerprint(path)


def _read(file: Path) -> dict[str, Any] | None:
    """A finished cell; None if there is none, or if it is damaged."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "result" in record else None


def _write(file: Path, result: Evaluation) -> dict[str, Any]:
    """Keep a cell, whole or not at all."""
    record = result.to_json()
    try:
        write_text(file, json.dumps(record, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise FineqError(f"cannot keep results in {file.parent}: {error.strerror}; choose another --cache") from error
    return record
