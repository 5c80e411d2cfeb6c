"""Makes a checkpoint of its parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fineq.checkpoint.choice import RecipeChoice
from fineq.checkpoint.container import Container, load_json, open_container
from fineq.checkpoint.loss_check import LossCheck
from fineq.checkpoint.pack import LayerResult
from fineq.checkpoint.planning import CheckpointPlan, Options, Unit
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import Source
from fineq.checkpoint.writer import ShardWriter
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.distributed.parts import (
    PART_FILE,
    Part,
    finished_parts,
    job_record,
    part_count,
    parts_directory,
    read_job,
)


@dataclass(frozen=True)
class _Made:
    """A unit as a part holds it."""

    part: Part
    folder: Path
    result: LayerResult | None
    digests: dict[str, str]


def merge_parts(
    source: Source,
    output: Path,
    options: Options,
    plan: CheckpointPlan,
    resume: bool = False,
    progress: Progress | None = None,
    check: Callable[[Path], LossCheck] | None = None,
    choice: RecipeChoice | None = None,
) -> list[LayerResult]:
    """Put the parts together, as `quantize_checkpoint` would have written them; then the parts are removed.

    Raises:
        FineqError: a part is missing, of another job, or damaged; a tensor is in two parts or in none; see
            `quantize_checkpoint`.
    """
    directory, stored = parts_directory(output), read_job(output)
    count = part_count(stored, directory)
    expected = job_record(source, options, count)
    different = [what for what in ("model", "options", "version") if stored.get(what) != expected[what]]
    if different:
        raise FineqError(f"the parts in {directory} were made with another {' and '.join(different)}: merge with that")
    made: dict[str, _Made] = {}
    for part, folder in finished_parts(directory, count):
        for name, line in _units(folder, part).items():
            if name in made:
                raise FineqError(
                    f"{name} is in part {made[name].part} and in part {part}: remove {folder} and make that part again"
                )
            result = LayerResult.from_json(line["result"]) if line["result"] else None
            made[name] = _Made(part, folder, result, line["digests"])
    absent = [unit.name for unit in plan.units if unit.name not in made]
    if absent:
        raise FineqError(f"{absent[0]} is in none of the parts in {directory}: they were made with another version")
    opened: dict[Path, Container] = {}

    def copy(unit: Unit, shard: ShardWriter) -> LayerResult | None:
        from_part = made[unit.name]
        file = from_part.folder / unit.file
        try:
            if file not in opened:
                opened[file] = open_container(file)
            container = opened[file]
            for name in unit.outputs:
                sink = shard.open_tensor(name)
                for piece in container.pieces(name):
                    sink.write(piece)
                if sink.close() != from_part.digests[name]:
                    raise FineqError(f"tensor {name} does not match its checksum")
        except (FineqError, KeyError) as error:
            if isinstance(error, FineqError) and error.__cause__ is not None:
                raise  # the system refused: no fault of the part
            what = str(error).split(":")[0] if isinstance(error, FineqError) else f"{error.args[0]} is not in it"
            raise FineqError(
                f"part {from_part.part} is damaged ({what}): remove {from_part.folder} and make that part again"
            ) from None
        return from_part.result

    results = quantize_checkpoint(
        source, output, options, resume, progress, check=check, plan=plan, choice=choice, write=copy
    )
    shutil.rmtree(directory, ignore_errors=True)
    return results


def _units(folder: Path, part: Part) -> dict[str, Any]:
    try:
        units = load_json(folder / PART_FILE, "the list of its tensors")["units"]
        if all({"result", "digests"} <= set(line) for line in units.values()):
            return units
    except (FineqError, KeyError, AttributeError, TypeError):
        pass
    raise FineqError(f"part {part} has no list of its tensors: remove {folder} and make that part again")
