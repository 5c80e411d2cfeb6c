"""One part of a large model quantized and merged for real; from its rates, the time of all on several machines."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from fineq.blockwise.duration import Duration, seconds_need
from fineq.blockwise.memory import memory_need
from fineq.blockwise.streamed import StreamedModel
from fineq.calibrated.capture import BATCH_TOKENS, LONGEST_WINDOW, SOLVER_WINDOWS, evaluating
from fineq.checkpoint.card import Sizes, measure_sizes
from fineq.checkpoint.container import open_container
from fineq.checkpoint.planning import CheckpointPlan, Options, make_plan
from fineq.checkpoint.source import open_source
from fineq.checkpoint.writer import ShardWriter
from fineq.distributed.parts import Part, part_plan, parts_directory
from fineq.distributed.work import quantize_part
from fineq.models.language_model import find_weight
from fineq_reports.plan.layout import fill, make_layout
from fineq_sim.workloads.language_model import ModelShape


@dataclass(frozen=True)
class Slice:
    """What was done for real.

    Attributes:
        part: which, of how many.
        tensors: that it has.
        weights: in them, all quantized.
        seconds, processor_seconds: of quantizing.
        copy_seconds: of what the merge does with it: read, check, write.
        read_bytes, written_bytes: of its files.
    """

    part: Part
    tensors: int
    weights: int
    seconds: float
    processor_seconds: float
    copy_seconds: float
    read_bytes: int
    written_bytes: int

    @property
    def weights_per_processor_second(self) -> float:
        """The rate of one processor."""
        return self.weights / self.processor_seconds

    @property
    def copied_per_second(self) -> float:
        """Bytes that one process merges."""
        return self.written_bytes / self.copy_seconds


@dataclass(frozen=True)
class Estimate:
    """All that the page shows.

    Attributes:
        shape: of the model.
        sizes: of source and result.
        slice: what was done for real.
        calibration: seconds of a calibration on one machine like this, by what can be spread.
        memory: bytes that a machine needs for it.
        sent: bytes that all machines together send to the one that adds.
        windows, length: of the calibration text.
    """

    shape: ModelShape
    sizes: Sizes
    slice: Slice
    calibration: Duration
    memory: int
    sent: int
    windows: int = SOLVER_WINDOWS
    length: int = LONGEST_WINDOW

    def quantize_seconds(self, processors: int) -> float:
        """All parts on so many processors, then the merge by one."""
        parts = self.sizes.weights / self.slice.weights_per_processor_second / processors
        return parts + self.merge_seconds

    @property
    def merge_seconds(self) -> float:
        """Of the merge."""
        return self.sizes.total_bytes / self.slice.copied_per_second

    def calibrate_seconds(self, machines: int, network: float) -> float:
        """On so many machines with so many bytes per second into the one that adds."""
        spread = (self.calibration.products + self.calibration.solver) / machines
        return spread + self.calibration.factors + (self.sent / network if machines > 1 else 0.0)


def estimate(shape: ModelShape, directory: Path, recipe: str, count: int, tell: Callable[[str], None]) -> Estimate:
    """Lay the model out, do one part for real, and foretell the rest.

    Args:
        directory: an empty place for about twice the bytes of a part.
        recipe: that looks at the weights alone.
        count: parts that the model is cut into; the one in the middle is done.
    """
    model, output = directory / "model", directory / "out"
    make_layout(shape, model)
    options = Options(recipe)
    source = open_source(model)
    plan = make_plan(source, options, "row")
    part = Part(count // 2 + 1, count)
    own = part_plan(source, plan, part)
    tell(f"part {part}: {len(own.units)} tensors of random weights")
    fill(source, [unit.source for unit in own.units])
    source = open_source(model)  # the files have other times
    began, spent = time.perf_counter(), time.process_time()
    quantize_part(source, output, options, plan, part)
    seconds, processor = time.perf_counter() - began, time.process_time() - spent
    tell(f"quantized in {seconds:.1f} s, {processor:.1f} s of processors")
    began = time.perf_counter()
    written = _copy(parts_directory(output) / part.folder, directory / "copy", own)
    copied = time.perf_counter() - began
    weights = sum(source.entry(unit.source).elements for unit in own.quantized)
    read = sum(source.entry(unit.source).nbytes for unit in own.units)
    done = Slice(part, len(own.units), weights, seconds, processor, copied, read, written)
    streamed = StreamedModel(source)
    return Estimate(
        shape,
        measure_sizes(source, plan),
        done,
        seconds_need(streamed, SOLVER_WINDOWS, LONGEST_WINDOW),
        memory_need(streamed, SOLVER_WINDOWS, LONGEST_WINDOW),
        _sent(streamed),
    )


def _copy(part: Path, place: Path, plan: CheckpointPlan) -> int:
    """What a merge does with a part: every byte read, written and checked; how many there are."""
    place.mkdir()
    total = 0
    files = plan.file_tensors()
    for file, tensors in files.items():
        container = open_container(part / file)
        writer = ShardWriter(place / file, tensors, plan.config, sum(map(len, files.values())))
        for name in tensors:
            sink = writer.open_tensor(name)
            for piece in container.pieces(name):
                sink.write(piece)
                total += len(piece)
            sink.close()
        writer.finish()
    os.sync()
    return total


def _sent(streamed: StreamedModel) -> int:
    """Bytes of all products: for each batch and group of layers half of K x K, and K x K with the exact inputs."""
    batches = -(-SOLVER_WINDOWS // max(1, BATCH_TOKENS // LONGEST_WINDOW))
    with evaluating(streamed.model), torch.no_grad():
        runner, hidden = streamed.start(torch.zeros(1, 8, dtype=torch.int64))
        with streamed.block(0):
            groups = runner.groups(0, hidden)
    inputs = [find_weight(streamed.model, group[0]).view().shape[1] for group in groups]
    return batches * len(streamed.blocks) * sum(6 * columns**2 for columns in inputs)
