"""Calibrates the blocks of a model on the machines of a cluster: the windows are theirs, the sums are made here.

A batch of windows is the unit of the work, as in one process: its products are made by whoever has it, and added up in
the order of the batches. So the sums, and with them the codes, have the bits of one process, whatever the number of
machines. The rows of a layer are solved in the pieces that one process takes. What leaves a block lies in the journal,
a file for each batch, and the journal of a finished run is that of one process.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fineq.blockwise.journal import FINGERPRINT
from fineq.blockwise.run import Calibration
from fineq.calibrated.capture import BlockRunner, evaluating, probe_windows
from fineq.calibrated.layerwise import BlockProgress, LayerwiseOptions, Stream, solve_group, wanted_groups
from fineq.calibrated.metric import Metric
from fineq.calibrated.moments import sum_moments
from fineq.calibrated.options import SolverOptions
from fineq.calibrated.solver import rows_at_once
from fineq.calibrated.unseen import unseen_layers
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.distributed.batches import BatchWorker, BlockTask, CalibrationJob, processor_kind
from fineq.distributed.cluster import Cluster, Crew
from fineq.quantizer.packed import PackedWeight


def check_spreadable(calibration: Calibration) -> None:
    """Raise if a recipe is no work for a cluster."""
    if calibration.recipe.block.steps:
        raise FineqError(
            f"recipe {calibration.recipe.name} trains each block on all windows at once: leave --ray out, or take "
            "calibrated or tuned"
        )


def finished_blocks(calibration: Calibration) -> int:
    """Blocks that earlier runs finished, here or on a cluster."""
    journal, batches = calibration.journal, range(_batch_count(calibration))
    finished = calibration.finished
    while journal.has_block(finished) and all(journal.batch(finished + 1, batch).is_file() for batch in batches):
        finished += 1
    return finished


def calibrate_on(cluster: Cluster, calibration: Calibration, progress: Progress | None = None) -> None:
    """Bring the journal of a run to where all blocks are finished.

    Raises:
        FineqError: see `check_spreadable`, `Cluster.crew` and `BatchWorker`.
    """
    check_spreadable(calibration)
    streamed, journal, recipe = calibration.streamed, calibration.journal, calibration.recipe
    options, blocks = recipe.layerwise(calibration.wanted), len(streamed.blocks)
    batches, first = range(_batch_count(calibration)), finished_blocks(calibration)
    if calibration.finished == blocks:
        return
    with evaluating(streamed.model), torch.no_grad():
        runner, hidden = streamed.start(calibration.windows)
        if first == calibration.finished:
            found = journal.resume()
            _split(calibration, runner, first, Stream(hidden, hidden) if found is None else found[1])
        del hidden
        crew = cluster.crew(BatchWorker, _job(calibration, options))
        report = BlockProgress(runner, options, progress, first)
        for number in range(first, blocks):
            with streamed.block(number), unseen_layers() as unseen:
                window = journal.read_batch(number, 0).hidden[:1]
                task = BlockTask(number, *wanted_groups(runner, number, window, options))
                packed = _quantize(crew, runner, task, batches, options, report)
            journal.write_block(number, packed, {}, recipe.name, unseen)
            for batch in batches:
                journal.batch(number, batch).unlink(missing_ok=True)
        crew.end()
    parts = [journal.read_batch(blocks, batch) for batch in batches]
    stream = Stream(torch.cat([part.hidden for part in parts]), torch.cat([part.exact for part in parts]))
    journal.write_stream(blocks, stream)
    for batch in batches:
        journal.batch(blocks, batch).unlink(missing_ok=True)


def _quantize(
    crew: Crew,
    runner: BlockRunner,
    task: BlockTask,
    batches: range,
    options: LayerwiseOptions,
    report: BlockProgress,
) -> dict[str, PackedWeight]:
    """Quantize the layers of a block, and have what leaves it kept."""
    packed: dict[str, PackedWeight] = {}
    shared: list[Any] = []
    for group in task.groups:
        found = crew.each("moments", [(batch, task, *shared) for batch in batches])
        solved = solve_group(runner.model, group, *sum_moments(group, found), options, report, _Solver(crew))
        packed |= solved
        shared.append(crew.share(solved))
    for _ in crew.each("finish", [(batch, task, *shared) for batch in batches]):
        pass
    return packed


@dataclass
class _Solver:
    """Does what `solve` does on all machines; a metric is sent once for the layers that share it."""

    crew: Crew
    _metric: Metric | None = None
    _sent: object = None

    def __call__(self, weight: Tensor, metric: Metric, options: SolverOptions, recipe: str) -> PackedWeight:
        if metric is not self._metric:
            self._metric, self._sent = metric, self.crew.share(metric)
        pieces = weight.detach().split(rows_at_once(weight.shape[1]))
        calls = [(piece, self._sent, options, recipe) for piece in pieces]
        parts = list(self.crew.each("solve", calls))
        blocks, scales = torch.cat([part.blocks for part in parts]), torch.cat([part.scales for part in parts])
        return PackedWeight(blocks, scales, (weight.shape[0], weight.shape[1]), recipe=recipe)


def _batch_count(calibration: Calibration) -> int:
    return len(BlockRunner.batches(calibration.windows))


def _split(calibration: Calibration, runner: BlockRunner, finished: int, stream: Stream) -> None:
    """Keep the windows as batches."""
    parts = zip(runner.batches(stream.hidden), runner.batches(stream.exact), strict=True)
    for number, (hidden, exact) in enumerate(parts):
        calibration.journal.write_batch(finished, number, Stream(hidden.clone(), exact.clone()))


def _job(calibration: Calibration, options: LayerwiseOptions) -> CalibrationJob:
    source, directory = calibration.streamed.source, calibration.journal.directory.absolute()
    record = json.loads((directory / FINGERPRINT).read_text(encoding="utf-8"))
    model = source.directory.resolve()
    probe = probe_windows(calibration.windows)
    return CalibrationJob(model, source.fingerprint(), directory, record, probe, options, processor_kind())
