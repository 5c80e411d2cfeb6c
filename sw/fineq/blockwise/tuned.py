"""Tuning of a model whose blocks have been quantized one at a time: what is trained is in memory, no float weight is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fineq.blockwise.journal import BlockJournal, TuningJournal
from fineq.blockwise.streamed import StreamedModel
from fineq.calibrated.layerwise import Stream
from fineq.calibrated.recipes import CalibratedRecipe
from fineq.calibrated.tuning import TuningInputs, tune
from fineq.common.progress import Progress
from fineq.models.language_model import find_weight
from fineq.quantizer.packed import PackedWeight


def tune_streamed(
    streamed: StreamedModel,
    windows: Tensor,
    stream: Stream,
    packed: Mapping[str, PackedWeight],
    recipe: CalibratedRecipe,
    journal: BlockJournal,
    progress: Progress | None = None,
) -> tuple[dict[str, PackedWeight], dict[str, Tensor]]:
    """Train the quantized blocks on the calibration windows; see `fineq.calibrated.tuning.tune`.

    Args:
        windows: int64 [windows, length].
        stream: what leaves the last block.
        journal: of the run, which also keeps where the training stands.
    """
    model = streamed.model

    def original(name: str) -> Tensor:
        place = find_weight(model, name)
        weight = streamed.read(place.path)
        return weight.T if place.transposed else weight

    with torch.no_grad():
        runner, hidden = streamed.start(windows)
    for number in range(len(streamed.blocks)):
        streamed.load_buffers(streamed.prefix(number))
    inputs = TuningInputs(packed, hidden, stream.exact, streamed.read, original)
    with streamed.outside(with_head=True):
        return tune(runner, inputs, recipe.tuning, recipe.name, TuningJournal(journal), progress)
