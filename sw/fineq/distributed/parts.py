"""What the parts of a job are, and the directory that all its workers see.

    OUT.parts/job.json                     model, options, version and number of parts: the same for all workers
    OUT.parts/part-3-of-8.unfinished/      being made, with a journal, as `fineq quantize` makes a whole checkpoint
    OUT.parts/part-3-of-8/                 done: weight files with the tensors of the part, and part.json

Everything that appears under its final name is complete, because it got the name by a rename. Nobody waits for anybody.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fineq.checkpoint.container import load_json
from fineq.checkpoint.planning import CheckpointPlan, Options, Unit
from fineq.checkpoint.quantize import WORK_SUFFIX, fingerprint
from fineq.checkpoint.source import Source
from fineq.common.errors import FineqError

PARTS_SUFFIX = ".parts"
JOB_FILE, PART_FILE = "job.json", "part.json"


@dataclass(frozen=True)
class Part:
    """Part `number` (from 1) of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def folder(self) -> str:
        return f"part-{self.number}-of-{self.count}"


def parse_part(text: str) -> Part:
    """A part from `I/N`.

    Raises:
        FineqError: it is none.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    part = Part(int(found[1]), int(found[2])) if found else None
    if part is None or not 1 <= part.number <= part.count:
        raise FineqError(f"--part is {text!r}: give I/N, the I-th of N parts, such as 1/8")
    return part


def parts_directory(output: Path) -> Path:
    """Where the parts of a job lie, beside what will be made of them."""
    return output.with_name(output.name + PARTS_SUFFIX)


def part_plan(source: Source, plan: CheckpointPlan, part: Part) -> CheckpointPlan:
    """The plan of a part: neighbouring units, about as many weights as in every other part."""
    total = sum(source.entry(unit.source).elements for unit in plan.units)
    chosen: list[Unit] = []
    before = 0
    for unit in plan.units:
        size = source.entry(unit.source).elements
        middle = 2 * before + size  # twice the place of its middle: decides, so that no unit is in two parts
        if middle * part.count // (2 * total) == part.number - 1:
            chosen.append(unit)
        before += size
    return replace(plan, units=chosen)


# -- the job ---------------------------------------------------------------------------------------------------


def job_record(source: Source, options: Options, count: int) -> dict[str, Any]:
    """What all workers of a job have in common."""
    return {**fingerprint(source, options), "parts": count, "settings": asdict(options)}


def join_job(output: Path, record: dict[str, Any]) -> Path:
    """The directory of the parts, made by the first worker.

    Raises:
        FineqError: it belongs to another job, or cannot be made.
    """
    directory = parts_directory(output)
    if not directory.exists():
        aside = directory.with_name(f"{directory.name}.{secrets.token_hex(8)}")  # not another worker's, thread or not
        try:
            aside.mkdir(parents=True)
            (aside / JOB_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            try:
                os.rename(aside, directory)  # refused if another worker was first: its directory is not empty
            except OSError:
                if not directory.exists():
                    raise
        except OSError as error:
            raise FineqError(f"cannot write {directory}: {error.strerror or error}") from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    stored = read_job(output)
    names = {"model": "model", "options": "options", "version": "version", "parts": "number of parts"}
    different = [text for what, text in names.items() if stored.get(what) != record[what]]
    if different:
        raise FineqError(
            f"{directory} was begun with another {' and '.join(different)}: all workers need the same, and this one "
            "another output"
        )
    return directory


def read_job(output: Path) -> dict[str, Any]:
    """The record of the job whose parts lie beside an output.

    Raises:
        FineqError: there is none.
    """
    directory = parts_directory(output)
    if not directory.is_dir():
        raise FineqError(f"{directory} does not exist: make the parts first, with `fineq quantize ... --part I/N`")
    return load_json(directory / JOB_FILE, "the record of what the parts are of")


def part_count(record: dict[str, Any], directory: Path) -> int:
    """How many parts a record names.

    Raises:
        FineqError: it does not say.
    """
    count = record.get("parts")
    if type(count) is not int or count < 1:
        raise FineqError(f"{directory} does not say how many parts there are: its record is damaged")
    return count


def job_options(record: dict[str, Any], where: Path) -> Options:
    """The options that a record holds.

    Raises:
        FineqError: it holds none.
    """
    try:
        settings = dict(record["settings"])
        for name in ("include", "exclude"):
            settings[name] = tuple(settings[name])
        return Options(**settings)
    except (KeyError, TypeError, ValueError):
        raise FineqError(f"{where / JOB_FILE} says nothing of the options: the file is damaged") from None


def finished_parts(directory: Path, count: int) -> Iterator[tuple[Part, Path]]:
    """The parts of a job, all of them.

    Raises:
        FineqError: one is missing, or there is something else beside them.
    """
    expected = {Part(number, count).folder: Part(number, count) for number in range(1, count + 1)}
    known = {JOB_FILE, *expected, *(name + WORK_SUFFIX for name in expected)}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in known)
    if foreign:
        raise FineqError(f"{directory} holds {foreign[0]}, which is none of its {count} parts: remove it")
    missing = [str(part) for name, part in expected.items() if not (directory / name).is_dir()]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise FineqError(
            f"{directory} lacks part {shown}: run `fineq quantize` with the same options and --part {missing[0]}"
            + (" --resume" if (directory / (_folder(missing[0]) + WORK_SUFFIX)).exists() else "")
        )
    return ((part, directory / name) for name, part in expected.items())


def _folder(part: str) -> str:
    return parse_part(part).folder
