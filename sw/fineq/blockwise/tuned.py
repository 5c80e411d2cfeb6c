"""Tuning of a model whose blocks have been quantized one at a time: no float weight stays in memory."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fineq.blockwise.journal import BlockJournal, TuningJournal
from fineq.blockwise.streamed import StreamedModel
from fineq.calibrated.capture import BlockRunner
from fineq.calibrated.recipes import CalibratedRecipe
from fineq.calibrated.tuning import TuningInputs, tune
from fineq.common.progress import Progress
from fineq.models.language_model import find_weight
from fineq.quantizer.packed import PackedWeight


def tune_streamed(
    streamed: StreamedModel,
    windows: Tensor,
    exact: Tensor | None,
    packed: Mapping[str, PackedWeight],
    changed: Mapping[str, Tensor],
    recipe: CalibratedRecipe,
    journal: BlockJournal,
    progress: Progress | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Train the quantized blocks on the calibration windows; see `fineq.calibrated.tuning.tune`.

    Args:
        windows: int64 [windows, length].
        exact: what leaves the last block of the full-precision model; None: it is found out first.
        packed, changed: what the blocks have become.
        journal: of the run, which also keeps where the training stands.
    """
    model = streamed.model

    def read(name: str) -> Tensor:
        return changed[name] if name in changed else streamed.read(name)

    def original(name: str) -> Tensor:
        place = find_weight(model, name)
        weight = streamed.read(place.path)
        return weight.T if place.transposed else weight

    with torch.no_grad():
        runner, hidden = streamed.start(windows)
        for number in range(len(streamed.blocks)):
            streamed.load_buffers(streamed.prefix(number))
        if exact is None:
            exact = full_precision_pass(streamed, runner, hidden, journal, progress)
    inputs = TuningInputs(packed, hidden, exact, read, original)
    with streamed.outside(with_head=True):
        return tune(runner, inputs, recipe.tuning, recipe.name, TuningJournal(journal), progress)


def full_precision_pass(
    streamed: StreamedModel,
    runner: BlockRunner,
    hidden: Tensor,
    journal: BlockJournal,
    progress: Progress | None = None,
) -> Tensor:
    """What leaves the last block of the full-precision model, for what enters the first."""
    finished, exact = journal.teacher() or (0, hidden)
    for number in range(finished, len(streamed.blocks)):
        with streamed.block(number):
            exact = runner.run_all(number, exact)
        journal.write_teacher(number + 1, exact)
        if progress:
            progress("full-precision blocks", number + 1, len(streamed.blocks))
    return exact
