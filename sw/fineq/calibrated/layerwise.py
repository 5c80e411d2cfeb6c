"""Quantize a model block by block and group by group, each layer for the inputs it really gets.

The inputs come from the calibration text through the model as quantized so far, so that a layer is fitted to
the errors of those before it. With `full_precision_targets` it is also asked to undo them: the target is not the
layer's own output on these inputs, but its output on the inputs that it has in the full-precision model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from fineq.calibrated.capture import BlockRunner
from fineq.calibrated.metric import Metric, prepare
from fineq.calibrated.moments import Retargeting, collect_moments, exact_pass
from fineq.calibrated.options import SolverOptions
from fineq.calibrated.solver import solve
from fineq.calibrated.staged import StagedBlock
from fineq.calibrated.training import TrainingOptions, reconstruct_block
from fineq.calibrated.unseen import UnseenLayerWarning
from fineq.common.progress import Progress
from fineq.models.language_model import get_weight, set_weight
from fineq.quantizer.checks import check_finite
from fineq.quantizer.packed import PackedWeight


@dataclass(frozen=True)
class LayerwiseOptions:
    """How blocks are quantized.

    Attributes:
        solver: how a layer is.
        targets: fit the outputs of the full-precision model, as far as the inputs allow.
        training: if it has steps, each block is trained towards its full-precision outputs before the next.
        recipe: name that the packed weights carry.
        wanted: layers to quantize; None: all.
    """

    solver: SolverOptions
    targets: bool
    training: TrainingOptions
    recipe: str = "custom"
    wanted: Collection[str] | None = None

    def is_wanted(self, name: str) -> bool:
        return self.wanted is None or name in self.wanted


@dataclass(frozen=True)
class Stream:
    """The calibration windows between two blocks, float [windows, length, width].

    Attributes:
        hidden: from the blocks as quantized so far.
        exact: from the full-precision blocks.
    """

    hidden: Tensor
    exact: Tensor


@dataclass(frozen=True)
class BlockResult:
    """Packed weights by layer name, other parameters that training changed, and what leaves the block."""

    packed: dict[str, PackedWeight]
    changed: dict[str, Tensor]
    stream: Stream


def quantize_layers(
    runner: BlockRunner, hidden: Tensor, options: LayerwiseOptions, progress: Progress | None = None
) -> tuple[dict[str, PackedWeight], dict[str, Tensor], Stream]:
    """Quantize all linear layers of the blocks, in place.

    Args:
        hidden: what enters the first block, [windows, length, width].

    Returns:
        Packed weights by layer name, and other parameters that training changed, the model holds both; and what
        leaves the last block.
    """
    packed: dict[str, PackedWeight] = {}
    changed: dict[str, Tensor] = {}
    stream = Stream(hidden, hidden)
    report = BlockProgress(runner, options, progress)
    for number in range(len(runner.blocks)):
        result = quantize_block(runner, number, stream, options, report)
        packed |= result.packed
        changed |= result.changed
        stream = result.stream
    return packed, changed, stream


class BlockProgress:
    """Brings the progress of single blocks together.

    Args:
        done: blocks that are finished already.
    """

    def __init__(self, runner: BlockRunner, options: LayerwiseOptions, progress: Progress | None, done: int = 0):
        names = [[name for name in runner.linears(n) if options.is_wanted(name)] for n in range(len(runner.blocks))]
        self._progress, self._blocks = progress, len(runner.blocks)
        self._total = sum(map(len, names))
        self._done = sum(map(len, names[:done]))

    def layer(self) -> None:
        """One more layer is done."""
        self._done += 1
        if self._progress:
            self._progress("layers", self._done, self._total)

    def training(self, number: int) -> Callable[[int, int], None] | None:
        """What the training of a block reports to."""
        progress = self._progress
        if progress is None:
            return None
        return lambda done, total: progress("block training", number * total + done, self._blocks * total)


def quantize_block(
    runner: BlockRunner, number: int, stream: Stream, options: LayerwiseOptions, progress: BlockProgress
) -> BlockResult:
    """Quantize the linear layers of one block, in place.

    Args:
        stream: what enters the block.
    """
    groups, kept = wanted_groups(runner, number, stream.hidden, options)
    staged = StagedBlock(runner, number, kept)
    exact_inputs: dict[str, list[Tensor]] = {}
    exact = stream.exact
    if options.targets or options.training.steps:
        wanted = groups if options.targets else []
        exact_inputs, exact = exact_pass(StagedBlock(runner, number), wanted, stream.exact)
    packed: dict[str, PackedWeight] = {}
    for group in groups:
        found = _quantize_group(
            runner, staged, group, stream.hidden, exact_inputs.pop(group[0], None), options, progress
        )
        packed |= found
    changed: dict[str, Tensor] = {}
    if options.training.steps and packed:
        report = progress.training(number)
        trained, changed = reconstruct_block(runner, number, packed, stream.hidden, exact, options.training, report)
        packed |= trained
        hidden = runner.run_all(number, stream.hidden)
    else:
        hidden = staged.finish(stream.hidden)
    return BlockResult(packed, changed, Stream(hidden, exact))


def wanted_groups(
    runner: BlockRunner, number: int, hidden: Tensor, options: LayerwiseOptions
) -> tuple[list[list[str]], list[str]]:
    """Of the layers of a block, the groups that are to be quantized, see `BlockRunner.groups`, and those that stay."""
    kept = [name for name in runner.linears(number) if not options.is_wanted(name)]
    groups = [[name for name in group if options.is_wanted(name)] for group in runner.groups(number, hidden)]
    return [group for group in groups if group], kept


def _quantize_group(
    runner: BlockRunner,
    staged: StagedBlock,
    group: list[str],
    hidden: Tensor,
    exact_inputs: list[Tensor] | None,
    options: LayerwiseOptions,
    progress: BlockProgress,
) -> dict[str, PackedWeight]:
    """Quantize layers with the same input, or the experts of one stack."""
    found = collect_moments(staged, group, hidden, exact_inputs or None)
    packed = solve_group(runner.model, group, *found, options, progress)
    staged.mark_done(group)
    return packed


def solve_group(
    model: PreTrainedModel,
    group: list[str],
    hessians: dict[str, Tensor | None],
    crossed: Tensor | None,
    options: LayerwiseOptions,
    progress: BlockProgress,
    solver: Callable[[Tensor, Metric, SolverOptions, str], PackedWeight] = solve,
) -> dict[str, PackedWeight]:
    """Quantize the layers of a group in place, when it is known what they see.

    Args:
        hessians, crossed: see `collect_moments`.
        solver: does what `solve` does.
    """
    packed: dict[str, PackedWeight] = {}
    metrics: dict[int, Metric] = {}
    retarget = None
    for name in group:
        weight, hessian = get_weight(model, name), hessians[name]
        check_finite(weight, name)
        if hessian is None:
            warnings.warn(UnseenLayerWarning(name), stacklevel=2)
        if crossed is not None and hessian is not None:
            retarget = retarget or Retargeting(hessian, crossed, options.solver.damping)
            weight = retarget(weight)
        if id(hessian) not in metrics:
            metrics = {id(hessian): prepare(weight.shape[1], hessian, options.solver, weight.device)}
        packed[name] = solver(weight, metrics[id(hessian)], options.solver, options.recipe)
        set_weight(model, name, packed[name].dequantize())
        progress.layer()
    return packed
