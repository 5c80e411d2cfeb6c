"""A calibrated recipe on a model's files, block by block."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from fineq.blockwise.duration import seconds_need, spoken
from fineq.blockwise.journal import BlockJournal, TuningJournal
from fineq.blockwise.memory import check_memory, memory_need, tuning_need
from fineq.blockwise.streamed import StreamedModel
from fineq.blockwise.tuned import tune_streamed
from fineq.calibrated.capture import choose_windows, cut_windows, evaluating, probe_windows
from fineq.calibrated.layerwise import BlockProgress, Stream, quantize_block
from fineq.calibrated.recipes import CalibratedRecipe
from fineq.calibrated.tuning import check_tunable, product_dtype
from fineq.calibrated.unseen import UnseenLayerWarning, unseen_layers
from fineq.checkpoint.calibration import wanted_layers
from fineq.checkpoint.planning import CheckpointPlan
from fineq.checkpoint.source import Source
from fineq.common.cache_keys import cache_key
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.quantizer.packed import PackedWeight

JOURNAL_SUFFIX = ".calibration"
"""Added to the output's name for the directory of finished blocks, until the output is complete."""


@dataclass
class Calibration:
    """A run that is about to begin, or to go on.

    Attributes:
        windows: int64 [windows, length].
        trained_on: those that tuning sees, likewise; None: the same.
        wanted: layers to quantize.
        memory: bytes that it takes, about.
        finished: blocks that an earlier run finished.
        done_layers: layers of those; when all blocks are finished, steps of the tuning that an earlier run did.
        seconds: that it takes, about, all blocks; None: not known, because the recipe trains.
    """

    streamed: StreamedModel
    recipe: CalibratedRecipe
    windows: Tensor
    trained_on: Tensor | None
    wanted: Collection[str]
    journal: BlockJournal
    memory: int
    finished: int
    done_layers: int
    seconds: float | None = None

    def layers_of(self, blocks: int) -> int:
        """Layers to quantize in the first `blocks`."""
        names = tuple(self.streamed.prefix(number) for number in range(blocks))
        return sum(name.startswith(names) for name in self.wanted) if names else 0

    def announcement(self, text: str) -> str:
        """What is about to happen, how long it takes and in how much memory. `text`: name of the calibration text."""
        count, length = self.windows.shape
        how_long = "" if self.seconds is None else f"{spoken(self.seconds)} and "
        return (
            f"calibrating with {count} windows of {length} tokens of {text}, in about {how_long}"
            f"{self.memory / 1e9:.1f} GB"
        )


def journal_directory(output: Path) -> Path:
    """Where the finished blocks of a run for this output are kept."""
    return output.with_name(output.name + JOURNAL_SUFFIX)


def open_calibration(
    source: Source,
    plan: CheckpointPlan,
    recipe: CalibratedRecipe,
    token_ids: Tensor,
    directory: Path,
    resume: bool = False,
    windows: int | None = None,
) -> Calibration:
    """Check all that can go wrong, before any long work.

    Args:
        plan: what of the model is to be quantized.
        recipe: without training of the whole model.
        token_ids: int64 [tokens], the calibration text without special tokens.
        directory: of the journal.
        resume: go on with what an interrupted run left there.
        windows: at most so many, spread evenly over the text; None: as many as the recipe looks at.

    Raises:
        FineqError: the model cannot be loaded block by block, too little text or memory, a journal of another run.
    """
    if recipe.whole.steps:
        raise FineqError(f"recipe {recipe.name} trains the whole model at once: it cannot work block by block")
    if directory.exists() and not resume:
        raise FineqError(f"{directory} holds an unfinished run: add --resume to go on with it, or remove it")
    streamed = StreamedModel(source)
    text = cut_windows(streamed.model, token_ids)
    chosen = choose_windows(text, windows)
    trained_on = choose_windows(text, recipe.tuning.windows) if recipe.tuning.steps and recipe.tuning.windows else None
    wanted = wanted_layers(streamed.model, source, plan)
    if recipe.tuning.steps:
        check_tunable(streamed.model, wanted)
    memory = memory_need(streamed, *chosen.shape)
    if recipe.tuning.steps:
        seen = chosen if trained_on is None else trained_on
        count, length = seen.shape
        memory = max(memory, memory_need(streamed, count, length), tuning_need(streamed, count, length, recipe.tuning))
    check_memory(memory, len(chosen))
    with evaluating(streamed.model):
        streamed.start(probe_windows(chosen))  # refuses blocks that cannot run one at a time
    journal = BlockJournal(directory, _fingerprint(source, recipe, chosen, wanted))
    found = journal.resume()
    finished = 0 if found is None else found[0]
    names = tuple(streamed.prefix(number) for number in range(finished))
    done = sum(name.startswith(names) for name in wanted) if names else 0
    if recipe.tuning.steps and finished == len(streamed.blocks):
        done = TuningJournal(journal).steps
    seconds = None if recipe.block.steps or recipe.tuning.steps else seconds_need(streamed, *chosen.shape).total
    return Calibration(streamed, recipe, chosen, trained_on, wanted, journal, memory, finished, done, seconds)


def calibrate_blocks(
    calibration: Calibration, progress: Progress | None = None
) -> tuple[Mapping[str, PackedWeight], dict[str, Tensor]]:
    """Quantize the blocks that are not finished.

    Returns:
        Packed weights by layer name, read from the journal when asked for, and other parameters that changed.

    Warns:
        UnseenLayerWarning: for each layer that saw no text, also where an earlier run did the work.
    """
    streamed, recipe, journal = calibration.streamed, calibration.recipe, calibration.journal
    options = recipe.layerwise(calibration.wanted)
    with evaluating(streamed.model), torch.no_grad() if not recipe.block.steps else torch.enable_grad():
        runner, hidden = streamed.start(calibration.windows)
        found = journal.resume()
        finished, stream = (0, Stream(hidden, hidden)) if found is None else found
        del hidden, found
        report = BlockProgress(runner, options, progress, finished)
        for number in range(finished, len(runner.blocks)):
            with streamed.block(number), unseen_layers() as unseen:
                result = quantize_block(runner, number, stream, options, report)
            journal.write(number, result, recipe.name, unseen)
            stream = result.stream
    for layer in journal.unseen(len(streamed.blocks)):  # those of an earlier run that this one goes on with too
        warnings.warn(UnseenLayerWarning(layer), stacklevel=2)
    packed, changed = journal.results(len(streamed.blocks))
    if not recipe.tuning.steps:
        return packed, changed
    if journal.tuned() is None:
        exact = stream.exact if calibration.trained_on is None else None
        chosen = calibration.windows if calibration.trained_on is None else calibration.trained_on
        tuned, further = tune_streamed(streamed, chosen, exact, packed, changed, recipe, journal, progress)
        journal.write_tuned(tuned, changed | further, recipe.name)
    found_tuned = journal.tuned()
    assert found_tuned is not None
    return found_tuned


def _fingerprint(source: Source, recipe: CalibratedRecipe, windows: Tensor, wanted: Collection[str]) -> dict[str, str]:
    def digest(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()

    return {
        "model": source.fingerprint(),
        "recipe": digest(json.dumps(asdict(recipe), sort_keys=True).encode()),
        "calibration text": digest(windows.contiguous().numpy().tobytes()),
        "choice of layers": digest(json.dumps(sorted(wanted)).encode()),
        "version": cache_key(__name__),
    } | ({"kind of processor": str(product_dtype())} if recipe.tuning.steps else {})
