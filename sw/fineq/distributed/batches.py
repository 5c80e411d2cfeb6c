"""What a worker does with batches of the calibration windows in the blocks of a model.

Every call says all that it needs, so any worker can do it: one that has the batch goes on with what it has, any other
loads the block, runs the full-precision pass, puts in the layers that are quantized already, and is as far.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fineq.blockwise.journal import BlockJournal
from fineq.blockwise.streamed import StreamedModel
from fineq.calibrated.layerwise import LayerwiseOptions, Stream
from fineq.calibrated.metric import Metric
from fineq.calibrated.moments import BatchMoments, batch_moments, exact_pass
from fineq.calibrated.options import SolverOptions
from fineq.calibrated.solver import solve
from fineq.calibrated.staged import StagedBlock
from fineq.checkpoint.source import open_source
from fineq.common.errors import FineqError
from fineq.models.language_model import set_weight
from fineq.quantizer.packed import PackedWeight


@dataclass(frozen=True)
class CalibrationJob:
    """What all workers get.

    Attributes:
        model: directory.
        fingerprint: of the model, see `fineq.checkpoint.source.Source`.
        journal: directory of the run, with its record.
        record: what must be in it.
        probe: some of the windows, see `fineq.calibrated.capture.probe_windows`.
        options: of the recipe.
        processor: kind that the other machines have.
    """

    model: Path
    fingerprint: str
    journal: Path
    record: dict[str, str]
    probe: Tensor
    options: LayerwiseOptions
    processor: str


@dataclass(frozen=True)
class BlockTask:
    """A block and its layers: groups in order of execution, and those that stay as they are."""

    number: int
    groups: list[list[str]]
    kept: list[str]


@dataclass
class _Batch:
    """A batch in the block that is loaded.

    Attributes:
        hidden: what enters the block.
        exact: what leaves the full-precision block.
        exact_inputs: what the groups see there, by first layer.
        done: groups that are quantized.
    """

    hidden: Tensor
    exact: Tensor
    exact_inputs: dict[str, list[Tensor]]
    staged: StagedBlock
    done: int = 0


class BatchWorker:
    """One machine's share of a calibration.

    Raises:
        FineqError: it sees other files than the others, or computes with other instructions.
    """

    def __init__(self, job: CalibrationJob):
        torch.set_grad_enabled(False)
        if processor_kind() != job.processor:
            raise FineqError(
                f"its processor computes with {processor_kind()}, that of the machine that calibrates with "
                f"{job.processor}: results would depend on who did what; take machines of one kind"
            )
        place = next((each for each in (job.model, job.journal) if not each.is_dir()), None)
        source = open_source(job.model) if place is None else None
        if source is None or source.fingerprint() != job.fingerprint:
            raise FineqError(
                f"{place or job.model} is not what the other machines see there: model and output need a shared "
                "directory"
            )
        self._job, self._streamed = job, StreamedModel(source)
        self._streamed.model.eval()
        self._journal = BlockJournal(job.journal, job.record)
        self._runner, _ = self._streamed.start(job.probe)
        self._loaded = ExitStack()
        self._number, self._done = -1, 0
        self._batches: dict[int, _Batch] = {}

    def moments(self, batch: int, task: BlockTask, *quantized: dict[str, PackedWeight]) -> BatchMoments:
        """What a batch adds to the moments of the first group that is not quantized.

        Args:
            quantized: the groups before it.
        """
        group = task.groups[len(quantized)]
        found = self._batch(batch, task, quantized)
        exact = found.exact_inputs.get(group[0])
        return batch_moments(found.staged, group, found.hidden, exact[0] if exact else None)

    def finish(self, batch: int, task: BlockTask, *quantized: dict[str, PackedWeight]) -> None:
        """Keep what leaves a block whose groups are all quantized."""
        found = self._batch(batch, task, quantized)
        hidden = found.staged.finish(found.hidden)
        self._journal.write_batch(task.number + 1, batch, Stream(hidden, found.exact))
        del self._batches[batch]

    def solve(self, rows: Tensor, metric: Metric, options: SolverOptions, recipe: str) -> PackedWeight:
        """Quantize some rows of a layer."""
        return solve(rows, metric, options, recipe)

    def _batch(self, batch: int, task: BlockTask, quantized: tuple[dict[str, PackedWeight], ...]) -> _Batch:
        """A batch that has the groups which are quantized behind it."""
        if task.number != self._number:
            self._batches.clear()
            self._load(task.number)
        if batch not in self._batches:
            if self._done:
                self._load(task.number)  # in full precision, for the batch that was another's
            self._batches[batch] = self._begin(batch, task)
        for layers in quantized[self._done :]:
            for name, packed in layers.items():
                set_weight(self._runner.model, name, packed.dequantize())
        self._done = len(quantized)
        found = self._batches[batch]
        for group in task.groups[found.done : self._done]:
            found.staged.mark_done(group)
            found.exact_inputs.pop(group[0], None)
        found.done = self._done
        return found

    def _load(self, number: int) -> None:
        self._loaded.close()
        self._loaded.enter_context(self._streamed.block(number))
        self._number, self._done = number, 0

    def _begin(self, batch: int, task: BlockTask) -> _Batch:
        stream = self._journal.read_batch(task.number, batch)
        inputs: dict[str, list[Tensor]] = {}
        exact = stream.exact
        if self._job.options.targets:
            inputs, exact = exact_pass(StagedBlock(self._runner, task.number), task.groups, stream.exact)
        return _Batch(stream.hidden, exact, inputs, StagedBlock(self._runner, task.number, task.kept))


def processor_kind() -> str:
    """The instructions that decide the last bits of products."""
    return torch.backends.cpu.get_cpu_capability()
