"""Streams a model directory into a quantized one: tensor by tensor, resumable, in place only when complete."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fineq.checkpoint.calibration import CalibratedTensors
from fineq.checkpoint.card import write_card
from fineq.checkpoint.choice import RecipeChoice
from fineq.checkpoint.container import tensor_digest
from fineq.checkpoint.copying import check_numbers
from fineq.checkpoint.fileformat import SCALES
from fineq.checkpoint.loss_check import LossCheck
from fineq.checkpoint.pack import (
    LayerResult,
    Measures,
    int8_pieces,
    layer_result,
    packed_pieces,
    quantize_unit,
    report_line,
)
from fineq.checkpoint.planning import CheckpointPlan, Options, Unit, make_plan
from fineq.checkpoint.source import CONFIG_FILE, INDEX_FILE, Source
from fineq.checkpoint.writer import ShardWriter
from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.common.places import check_new
from fineq.common.progress import Progress
from fineq.models.stored import REPORT_FILE
from fineq.quantizer.recipes import Recipe, find_recipe

WORK_SUFFIX = ".unfinished"
"""Added to the output's name for the directory that is written, until all is done."""

JOURNAL = "journal.jsonl"

UnitWriter = Callable[[Unit, ShardWriter], LayerResult | None]
"""Puts the bytes of a unit into its weight file; gives its result if it is quantized."""


def quantize_checkpoint(
    source: Source,
    output: Path,
    options: Options,
    resume: bool = False,
    progress: Progress | None = None,
    prepared: CalibratedTensors | None = None,
    check: Callable[[Path], LossCheck] | None = None,
    plan: CheckpointPlan | None = None,
    choice: RecipeChoice | None = None,
    write: UnitWriter | None = None,
) -> list[LayerResult]:
    """Write the quantized copy of a model directory.

    Args:
        source: the model.
        output: directory to make; it must not exist.
        options: what to quantize, and how.
        resume: go on with what an interrupted run of the same model and options left.
        prepared: what a calibrated recipe made; None: the recipe is data-free and is applied here.
        check: called with the directory when everything but the report and the card is in it; they tell what it found.
        plan: what `make_plan` made of the same source and options, to save its time; None: it is made here.
        choice: why this recipe, for the report and the card; None: the user named it.
        write: puts a tensor's bytes into its file, where they were made elsewhere; None: they are made here.

    Returns:
        One result per quantized tensor, in the order of the files.

    Raises:
        FineqError: see `make_plan`; the output exists; nothing or something else to resume; NaN or infinity.
    """
    recipe = find_recipe(options.recipe) if prepared is None else Recipe(name=options.recipe)
    plan = plan or make_plan(source, options, recipe.axis)
    if prepared is not None:
        plan = plan.with_changed(prepared.changed)
    if write is None:
        write = unit_writer(source, recipe, prepared)
    work = open_work(output, resume, fingerprint(source, options))
    shards, results = write_units(source, plan, work, write, progress)
    with writing(work):
        _finish(source, plan, shards, results, options, work, output, check, prepared, choice)
    return results


def write_units(
    source: Source, plan: CheckpointPlan, work: Path, write: UnitWriter, progress: Progress | None
) -> tuple[dict[str, ShardWriter], list[LayerResult]]:
    """Write all units of a plan into the weight files of a directory; what its journal has is not written again.

    Returns:
        The finished files by name, and one result per quantized tensor.
    """
    files = plan.file_tensors()
    total = sum(map(len, files.values()))
    shards = {name: ShardWriter(work / name, tensors, plan.config, total) for name, tensors in files.items()}
    try:
        with writing(work):
            done = _journaled(work, plan, shards)
        left = sum(source.entry(unit.source).elements for unit in plan.units if unit.name not in done)
        left_done = 0
        results = []
        with writing(work), open(work / JOURNAL, "a", encoding="utf-8") as journal:
            for unit in plan.units:
                if unit.name in done:
                    result = done[unit.name]
                else:
                    result = write(unit, shards[unit.file])
                    digests = {name: shards[unit.file].digests[name] for name in unit.outputs}
                    line = {"unit": unit.name, "digests": digests, "result": result.to_json() if result else None}
                    journal.write(json.dumps(line) + "\n")
                    journal.flush()
                    left_done += source.entry(unit.source).elements
                    if progress:
                        progress(unit.source, left_done, left)
                if result:
                    results.append(result)
        for shard in shards.values():
            shard.finish()
    finally:
        for shard in shards.values():
            shard.close()
    return shards, results


@contextmanager
def writing(work: Path) -> Iterator[None]:
    """What the system refuses inside, as a sentence that names the place."""
    try:
        yield
    except OSError as error:
        place = error.filename2 or error.filename or work
        raise FineqError(f"cannot write {place}: {error.strerror or error}") from error


def unit_writer(source: Source, recipe: Recipe, prepared: CalibratedTensors | None = None) -> UnitWriter:
    """Makes the tensors by a recipe, or takes what a calibrated one has made."""
    return lambda unit, shard: _write_unit(unit, source, shard, recipe, prepared)


def _write_unit(
    unit: Unit, source: Source, shard: ShardWriter, recipe: Recipe, prepared: CalibratedTensors | None
) -> LayerResult | None:
    container = source.tensors[unit.source]
    if unit.packed is None:
        sink = shard.open_tensor(unit.name)
        changed = prepared.changed.get(unit.source) if prepared else None
        if changed is not None:
            entry = source.entry(unit.source)
            if tuple(changed.shape) != entry.shape:
                raise FineqError(f"the recipe changed the shape of {unit.source}: this is a defect of the recipe")
            sink.write(changed.to(container.read(unit.source, 0, 1).dtype))
        else:
            for copied in container.pieces(unit.source):
                check_numbers(copied, container, unit.source)
                sink.write(copied)
        sink.close()
        return None
    measures = Measures()
    if unit.packed.is_int8:
        pieces = int8_pieces(unit, container, measures)
    elif prepared is not None:
        pieces = packed_pieces(unit, container, prepared.packed[unit.source], measures)
    else:
        pieces = quantize_unit(unit, container, recipe, measures)
    content = shard.open_tensor(f"{unit.name}.{unit.packed.content[0]}")
    scales = shard.open_tensor(f"{unit.name}.{SCALES}")
    for some, their_scales in pieces:
        content.write(some)
        scales.write(their_scales)
    content.close()
    scales.close()
    marker = shard.open_tensor(unit.packed.marker)
    marker.write(memoryview(bytes([shard.version])))
    marker.close()
    return layer_result(unit, measures)


# -- the work directory ----------------------------------------------------------------------------------------


def fingerprint(source: Source, options: Options) -> dict[str, str]:
    return {
        "model": source.fingerprint(),
        "options": hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest(),
        "version": cache_key(__name__),
    }


def check_output(output: Path, resume: bool) -> Path:
    """Raise if the output cannot be begun or resumed, before any long work; returns the directory to write in."""
    output = Path(output)
    check_new(output)
    work = output.with_name(output.name + WORK_SUFFIX)
    place = next(folder for folder in output.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        problem = errno.EACCES if place.is_dir() else errno.ENOTDIR
        raise FineqError(f"cannot write {work}: {os.strerror(problem)}")
    if work.exists() and not resume:
        raise _unfinished(work)
    return work


def _unfinished(work: Path) -> FineqError:
    return FineqError(f"{work} holds an unfinished run: add --resume to go on with it, or remove it")


def open_work(output: Path, resume: bool, fingerprint: dict[str, str]) -> Path:
    work = check_output(output, resume)
    journal = work / JOURNAL
    if journal.is_file():
        try:
            stored = json.loads(journal.read_text(encoding="utf-8").split("\n")[0])
        except ValueError:
            stored = {}
        different = [what for what in fingerprint if stored.get(what) != fingerprint[what]]
        if different:
            raise FineqError(
                f"{work} was begun with another {' and '.join(different)}: repeat that run exactly, or remove it and "
                "start again without --resume"
            )
        return work
    if work.exists():
        shutil.rmtree(work)
    try:
        work.mkdir(parents=True)
        journal.write_text(json.dumps(fingerprint) + "\n", encoding="utf-8")
    except FileExistsError:
        raise _unfinished(work) from None  # another process has just begun it
    except OSError as error:
        raise FineqError(f"cannot write {work}: {error.strerror or error}") from None
    return work


def _journaled(work: Path, plan: CheckpointPlan, shards: dict[str, ShardWriter]) -> dict[str, LayerResult | None]:
    """Units that an earlier run finished and whose bytes are still what it wrote."""
    units = {unit.name: unit for unit in plan.units}
    done: dict[str, LayerResult | None] = {}
    complete = []
    for line in (work / JOURNAL).read_text(encoding="utf-8").split("\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            break  # the end, or a line that the interruption cut short
        complete.append(line)
        if "unit" not in entry or entry["unit"] not in units:
            continue
        shard = shards[units[entry["unit"]].file]
        if all(tensor_digest(shard.stored(), name) == digest for name, digest in entry["digests"].items()):
            shard.digests.update(entry["digests"])
            done[entry["unit"]] = LayerResult.from_json(entry["result"]) if entry["result"] else None
    (work / JOURNAL).write_text("".join(line + "\n" for line in complete), encoding="utf-8")
    return done


def _finish(
    source: Source,
    plan: CheckpointPlan,
    shards: dict[str, ShardWriter],
    results: list[LayerResult],
    options: Options,
    work: Path,
    output: Path,
    check: Callable[[Path], LossCheck] | None,
    prepared: CalibratedTensors | None,
    choice: RecipeChoice | None,
) -> None:
    """Everything besides the weights; then the directory gets its final name."""
    _write_json(work / CONFIG_FILE, plan.config)
    if source.is_sharded:
        weight_map = {name: file for file, tensors in plan.file_tensors().items() for name in tensors}
        total = sum(entry.nbytes for shard in shards.values() for entry in shard.stored().tensors.values())
        _write_json(work / INDEX_FILE, {"metadata": {"total_size": total}, "weight_map": weight_map})
    for path in source.other_files():
        place = work / path.relative_to(source.directory)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, place)
    found = check(work) if check else None
    report: dict[str, Any] = {"recipe": options.recipe, "layers": [report_line(result) for result in results]}
    report["kept"] = [{"tensor": name, "why": reason} for name, reason in plan.kept.items()]
    unseen, fitted_to = (prepared.unseen, prepared.fitted_to) if prepared else ((), None)
    if fitted_to:
        report["calibration"] = asdict(fitted_to)
    if choice:
        report["choice_of_recipe"] = choice.to_json()
    if plan.changed:
        report["changed"] = list(plan.changed)
    if unseen:
        report["saw_no_calibration_text"] = list(unseen)
    if found:
        report["check"] = found.to_json()
    _write_json(work / REPORT_FILE, report)
    write_card(work / "README.md", source, plan, results, options.recipe, found, unseen, fitted_to, choice)
    (work / JOURNAL).unlink()
    os.replace(work, output)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
