"""All parts of a checkpoint, made on the machines of a cluster that share a directory.

A worker makes a part in a directory of its own, which gets the part's name when it is done; the second of two that have
made the same part removes its own. So whoever is killed, or is only thought to be dead, does no harm.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.checkpoint.container import load_json
from fineq.checkpoint.planning import CheckpointPlan, Options
from fineq.checkpoint.source import Source, open_source
from fineq.common.errors import FineqError
from fineq.common.places import check_new
from fineq.common.progress import Progress
from fineq.distributed.cluster import Cluster
from fineq.distributed.parts import (
    JOB_FILE,
    Part,
    job_record,
    join_job,
    part_count,
    part_plan,
    parts_directory,
    read_job,
)
from fineq.distributed.work import attempts, make_part

PARTS_A_PROCESSOR = 4
"""So that processors of unlike speed end at about the same time, and little is lost where one dies."""


@dataclass(frozen=True)
class _Job:
    """What all workers get."""

    model: Path
    output: Path
    options: Options
    plan: CheckpointPlan
    record: dict[str, Any]


def make_parts(
    cluster: Cluster,
    source: Source,
    output: Path,
    options: Options,
    plan: CheckpointPlan,
    resume: bool = False,
    progress: Progress | None = None,
) -> None:
    """Quantize all parts into the directory beside the output; those that are there are not made again.

    Args:
        output: that `merge_parts` will make; it and the model lie where all machines see them under the same name.
        plan: of the whole model.
        resume: go on with what an interrupted run left.

    Raises:
        FineqError: parts of another job, or of an interrupted run; a machine sees other files; see `Cluster.map`.
    """
    check_new(output)
    directory = parts_directory(output)
    if directory.exists() and not resume:
        raise FineqError(f"{directory} holds an unfinished run: add --resume to go on with it, or remove it")
    count = max(1, min(len(plan.units), PARTS_A_PROCESSOR * cluster.processors))
    if directory.exists():
        count = part_count(read_job(output), directory)
    join_job(output, job_record(source, options, count))
    record = read_job(output)  # as the workers will read it
    sizes = {
        number: sum(source.entry(unit.source).elements for unit in part_plan(source, plan, Part(number, count)).units)
        for number in range(1, count + 1)
    }
    left = [number for number in sizes if not (directory / Part(number, count).folder).exists()]
    left.sort(key=lambda number: -sizes[number])  # the largest first: none is left over at the end
    total, done = sum(sizes[number] for number in left), 0
    job = _Job(source.directory.resolve(), output.absolute(), options, plan, record)
    for place, _ in cluster.map(work_on_part, job, [(number,) for number in left]):
        done += sizes[left[place]]
        if progress:
            progress(f"part {Part(left[place], count)}", done, total)
    for attempt in attempts(directory):
        shutil.rmtree(attempt, ignore_errors=True)


def work_on_part(job: _Job, number: int) -> None:
    """Make a part, on a worker.

    Raises:
        FineqError: the machine does not see the files of the others; see `make_part`.
    """
    directory = parts_directory(job.output)
    if not (directory / JOB_FILE).is_file() or load_json(directory / JOB_FILE, "the record of the job") != job.record:
        raise _not_shared(directory)
    if not job.model.is_dir():
        raise _not_shared(job.model)
    source = open_source(job.model)
    if job_record(source, job.options, job.record["parts"])["model"] != job.record["model"]:
        raise _not_shared(job.model)
    part = Part(number, job.record["parts"])
    if not (directory / part.folder).exists():
        make_part(source, directory, job.options, job.plan, part)


def _not_shared(place: Path) -> FineqError:
    return FineqError(f"{place} is not what the other machines see there: model and output need a shared directory")
