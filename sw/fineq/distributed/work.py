"""Makes one part of a checkpoint."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

from fineq.checkpoint.pack import LayerResult
from fineq.checkpoint.planning import CheckpointPlan, Options
from fineq.checkpoint.quantize import JOURNAL, fingerprint, open_work, unit_writer, write_units, writing
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError
from fineq.common.places import check_new
from fineq.common.progress import Progress
from fineq.distributed.parts import PART_FILE, Part, job_record, join_job, part_plan
from fineq.quantizer.recipes import find_recipe, is_recipe

ATTEMPT = ".attempt-"
"""Before the names of directories in which workers of a cluster make parts."""


def quantize_part(
    source: Source,
    output: Path,
    options: Options,
    plan: CheckpointPlan,
    part: Part,
    resume: bool = False,
    progress: Progress | None = None,
) -> list[LayerResult] | None:
    """Quantize a part into the shared directory beside the output.

    Args:
        output: that `merge_parts` will make.
        plan: of the whole model.
        resume: go on with what an interrupted worker left of this part.

    Returns:
        One result per quantized tensor of the part; None: the part was there already.

    Raises:
        FineqError: see `open_work` and `join_job`; a recipe that needs data; more parts than tensors.
    """
    if not is_recipe(options.recipe):
        raise FineqError(
            f"--part needs a recipe that looks at the weights alone, such as --recipe mse: {options.recipe} does not"
        )
    if part.count > len(plan.units):
        raise FineqError(f"the model has {len(plan.units)} tensors: it cannot be cut into {part.count} parts")
    check_new(output)
    directory = join_job(output, job_record(source, options, part.count))
    place = directory / part.folder
    if place.exists():
        return None
    try:
        work = open_work(place, resume, fingerprint(source, options))
    except FineqError:
        if place.exists():  # another worker has just finished it
            return None
        raise
    if place.exists():  # finished after the first look and before this worker had the name that it works under
        shutil.rmtree(work)
        return None
    return _write_part(source, work, place, options, plan, part, progress)


def make_part(source: Source, directory: Path, options: Options, plan: CheckpointPlan, part: Part) -> None:
    """Make a part in a directory that nobody else uses; for workers that may be begun again anywhere at any time.

    Args:
        directory: of the job.

    Raises:
        FineqError: the system refuses, or a tensor cannot be quantized.
    """
    place = directory / part.folder
    attempt = place.with_name(f"{ATTEMPT}{part.folder}-{secrets.token_hex(8)}")
    work = open_work(attempt, False, fingerprint(source, options))
    try:
        _write_part(source, work, place, options, plan, part)
    except FineqError:
        if not place.exists():  # else another attempt was first, whose directory is not empty
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def attempts(directory: Path) -> list[Path]:
    """What attempts at parts have left that were killed."""
    return sorted(directory.glob(f"{ATTEMPT}*"))


def _write_part(
    source: Source,
    work: Path,
    place: Path,
    options: Options,
    plan: CheckpointPlan,
    part: Part,
    progress: Progress | None = None,
) -> list[LayerResult]:
    """Fill the directory of a part and give it its name."""
    own = part_plan(source, plan, part)
    shards, results = write_units(source, own, work, unit_writer(source, find_recipe(options.recipe)), progress)
    with writing(work):
        lines = [json.loads(line) for line in (work / JOURNAL).read_text(encoding="utf-8").splitlines()[1:]]
        record = {"units": {line["unit"]: {"result": line["result"], "digests": line["digests"]} for line in lines}}
        (work / PART_FILE).write_text(json.dumps(record) + "\n", encoding="utf-8")
        (work / JOURNAL).unlink()
        os.replace(work, place)
    return results
