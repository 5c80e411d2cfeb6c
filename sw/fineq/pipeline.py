"""From a model directory to a quantized one: what `fineq quantize` does, as a function.

fineq.quantize_model("MODEL", "OUT")                            # recipe `auto`
fineq.quantize_model("MODEL", "OUT", "calibrated", calibration=Path("text.txt"))
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fineq.blockwise import calibrate_blocks, journal_directory, open_calibration
from fineq.calibrated import RECIPES as CALIBRATED
from fineq.calibrated import find_calibrated_recipe, is_calibrated_recipe
from fineq.calibrated import quantize_model as calibrate_whole
from fineq.calibrated.capture import cut_windows
from fineq.calibrated.unseen import unseen_layers, unseen_sentence
from fineq.checkpoint.calibration import CalibratedTensors, check_options, prepare, wanted_layers
from fineq.checkpoint.card import Sizes, measure_sizes
from fineq.checkpoint.choice import RecipeChoice
from fineq.checkpoint.loss_check import LossCheck
from fineq.checkpoint.pack import LayerResult
from fineq.checkpoint.planning import CheckpointPlan, Options, make_plan
from fineq.checkpoint.quantize import check_output, quantize_checkpoint
from fineq.checkpoint.selection import check_outside
from fineq.checkpoint.source import Source, open_source
from fineq.common.errors import FineqError
from fineq.common.progress import Progress
from fineq.distributed.blocks import calibrate_on, finished_blocks
from fineq.distributed.cluster import Cluster, connected
from fineq.distributed.merge import merge_parts
from fineq.distributed.parts import job_options, parts_directory, read_job
from fineq.distributed.spread import make_parts
from fineq.evaluation.automatic import choose_recipe
from fineq.evaluation.loss_check import check_loss
from fineq.evaluation.perplexity import Text, read_text, shipped_text_path, tokenize
from fineq.huggingface.loading import load_model, load_tokenizer
from fineq.models.stored import CalibrationRecord
from fineq.quantizer.defaults import AUTO_RECIPE, CALIBRATED_RECIPE
from fineq.quantizer.recipes import RECIPES, find_recipe, is_recipe

Display = Callable[..., AbstractContextManager[Progress | None]]
"""Shows progress while it is open, see `fineq.common.progress.progress_display`."""


def silent(*arguments: Any, **keywords: Any) -> AbstractContextManager[None]:
    """A display that shows nothing."""
    return nullcontext()


def _weights(rate: float) -> str:
    return f"{rate / 1e6:.2f} Mweights/s"


ON_WORKERS = ("fineq.distributed.spread", "fineq.distributed.batches")
"""Modules whose code must be the same on all machines of a cluster."""


@dataclass(frozen=True)
class Job:
    """A model that is about to be quantized, and all that was asked for; nothing is written yet.

    Attributes:
        options: with the recipe as the user named it, perhaps `auto`.
        plan: what becomes of each tensor.
        calibration: text for recipes that need one; None: the user gave none.
        windows: of that text to look at; None: as many as the recipe does.
        text: for the check; None: no check.
    """

    source: Source
    options: Options
    plan: CheckpointPlan
    calibration: Path | None
    windows: int | None
    text: Text | None

    @property
    def sizes(self) -> Sizes:
        """Of the result against the source."""
        return measure_sizes(self.source, self.plan)


@dataclass(frozen=True)
class Quantized:
    """What was done.

    Attributes:
        recipe: that was applied.
        choice: why, if it was chosen; None: the user named it.
        layers: a result for each quantized tensor.
        check: of the loss before and after; None: not wanted.
        unseen: layers that no calibration text reached.
    """

    recipe: str
    choice: RecipeChoice | None
    plan: CheckpointPlan
    layers: list[LayerResult]
    check: LossCheck | None
    unseen: tuple[str, ...] = ()

    def warnings(self) -> list[str]:
        """What the user must hear, a sentence each."""
        found = [unseen_sentence(self.unseen)] if self.unseen else []
        destroyed = self.check.warning(self.recipe, is_recipe(self.recipe)) if self.check else None
        return [*found, *([destroyed] if destroyed else [])]


def quantize_model(
    model: str | Path,
    output: str | Path,
    recipe: str = AUTO_RECIPE,
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    embeddings: bool = False,
    lm_head: bool = False,
    outside: str = "fineq",
    calibration: Path | None = None,
    windows: int | None = None,
    check: bool = True,
    text: Path | None = None,
    resume: bool = False,
    ray: str | None = None,
) -> Quantized:
    """Write a quantized copy of a model directory.

    Args:
        model: directory in Hugging Face layout, or a hub id.
        output: directory to make; it appears when it is complete.
        recipe: `auto`: `calibrated` if there is a calibration text, else the data-free default if the model survives
            it, which is measured.
        include, exclude: patterns of tensor names (shell style).
        embeddings, lm_head: quantize those too.
        outside: the form of those two: `fineq`, or `int8`, 8 bits with a scale for each row.
        calibration: text file for recipes that fit the weights to real inputs.
        windows: of the calibration text to look at; None: up to 128.
        check: measure the loss before and after on the beginning of `text`; None: the shipped one.
        resume: go on with what an interrupted call left.
        ray: HOST:PORT of a Ray cluster that does the work; model and output lie in a directory that its machines share.

    Raises:
        FineqError: one sentence about what is wrong with the model, the options or the machine; `auto` and no
            calibration text for a model that needs one.
    """
    options = Options(recipe, tuple(include), tuple(exclude), embeddings, lm_head, outside)
    return run_job(open_job(str(model), options, calibration, windows, check, text), Path(output), resume, ray=ray)


def open_job(
    model: str, options: Options, calibration: Path | None, windows: int | None, check: bool, text: Path | None
) -> Job:
    """Check what was asked for, open the model and make the plan.

    Raises:
        FineqError: options that do not fit together, or a model that cannot be quantized.
    """
    recipe = options.recipe
    check_outside(options)
    if is_recipe(recipe):
        for name, value in (("--calibration", calibration), ("--windows", windows)):
            if value is not None:
                raise FineqError(f"recipe {recipe} needs no calibration text: leave {name} out")
    elif recipe == AUTO_RECIPE:
        if windows is not None and calibration is None:
            raise FineqError("--windows are of the calibration text: add --calibration FILE, or leave them out")
        _check_file(calibration)
        if calibration is not None:
            check_options(replace(options, recipe=CALIBRATED_RECIPE))
    else:
        _check_calibrated(recipe, calibration)
        check_options(options)
    if text and not check:
        raise FineqError("--text is for the check: leave it or --no-check out")
    measured_on = read_text(text or shipped_text_path()) if check else None
    source = open_source(model)
    plan = make_plan(source, options, find_recipe(recipe).axis if is_recipe(recipe) else "row")
    return Job(source, options, plan, calibration, windows, measured_on)


def run_job(
    job: Job,
    output: Path,
    resume: bool = False,
    display: Display = silent,
    tell: Callable[[str], None] = lambda sentence: None,
    ray: str | None = None,
) -> Quantized:
    """Choose the recipe if it is to be chosen, calibrate, write, check.

    Args:
        output: directory to make.
        resume: go on with what an interrupted run of the same job left.
        display: shows progress.
        tell: called with what is about to happen.
        ray: address of a Ray cluster whose machines do the work, see `fineq.distributed.cluster.connected`; the bytes
            are the same.
    """
    check_output(output, resume)
    with connected(ray, *ON_WORKERS) if ray else nullcontext() as cluster:
        return _run(job, output, resume, display, tell, cluster)


def _run(
    job: Job,
    output: Path,
    resume: bool,
    display: Display,
    tell: Callable[[str], None],
    cluster: Cluster | None,
) -> Quantized:
    options, plan, choice = job.options, job.plan, None
    if options.recipe == AUTO_RECIPE:
        choice = choose_recipe(job.source, plan, options, job.text, job.calibration is not None, tell)
        options, plan = replace(options, recipe=choice.recipe), plan.with_recipe(choice.recipe)
        tell(choice.sentence())
    prepared = None
    if not is_recipe(options.recipe):
        assert job.calibration is not None  # `open_job` and `choose_recipe` asked for it
        prepared = _calibrate(job, plan, options.recipe, job.calibration, output, resume, display, tell, cluster)
    found: list[LossCheck] = []

    def run_check(directory: Path) -> LossCheck:
        assert job.text is not None
        found.append(check_loss(job.source, directory, job.text, before=choice.tried if choice else None))
        return found[-1]

    on_parts = cluster if prepared is None else None
    if on_parts is not None:
        tell(f"quantizing on {on_parts.processors} processors of the Ray cluster at {on_parts.address}")
        with display(_weights) as progress:
            make_parts(on_parts, job.source, output, options, plan, resume, progress)
    with display(_weights) as progress:
        check = run_check if job.text else None
        if on_parts is not None:
            layers = merge_parts(job.source, output, options, plan, resume, progress, check, choice)
        else:
            layers = quantize_checkpoint(job.source, output, options, resume, progress, prepared, check, plan, choice)
    if prepared is not None:
        shutil.rmtree(journal_directory(output), ignore_errors=True)
    if prepared is not None:
        plan = plan.with_changed(prepared.changed)
    unseen = prepared.unseen if prepared else ()
    return Quantized(options.recipe, choice, plan, layers, found[0] if found else None, unseen)


# -- on many machines ------------------------------------------------------------------------------------------


def merge_job(
    model: str,
    output: Path,
    check: bool = True,
    text: Path | None = None,
    resume: bool = False,
    display: Display = silent,
) -> Quantized:
    """Put the parts beside an output together; the options are those that the parts were made with.

    Raises:
        FineqError: see `merge_parts`.
    """
    check_output(output, resume)
    options = job_options(read_job(output), parts_directory(output))
    job = open_job(model, options, None, None, check, text)
    found: list[LossCheck] = []

    def run_check(directory: Path) -> LossCheck:
        assert job.text is not None
        found.append(check_loss(job.source, directory, job.text))
        return found[-1]

    with display(_weights) as progress:
        made = merge_parts(job.source, output, options, job.plan, resume, progress, run_check if job.text else None)
    return Quantized(options.recipe, None, job.plan, made, found[0] if found else None)


# -- recipes that need calibration -----------------------------------------------------------------------------


def _check_calibrated(recipe: str, calibration: Path | None) -> None:
    """Raise unless `recipe` is a calibrated one and there is a text for it."""
    from fineq.baselines import find_baseline

    if not is_calibrated_recipe(recipe) and find_baseline(recipe):
        raise FineqError(
            f"{recipe} is a baseline to compare with, and no packed form is written for it: `fineq eval --recipe "
            f"{recipe}` measures it (docs/quantizer/baselines.md)"
        )
    if not is_calibrated_recipe(recipe):
        raise FineqError(f"unknown recipe {recipe!r}: choose one of {', '.join([AUTO_RECIPE, *RECIPES, *CALIBRATED])}")
    find_calibrated_recipe(recipe)  # its options
    if calibration is None:
        raise FineqError(f"recipe {recipe} needs a text to calibrate with: add --calibration FILE")
    _check_file(calibration)


def _check_file(calibration: Path | None) -> None:
    if calibration is not None and not calibration.is_file():
        raise FineqError(f"{calibration} does not exist: --calibration needs a text file")


def _calibrate(
    job: Job,
    plan: CheckpointPlan,
    recipe: str,
    calibration: Path,
    output: Path,
    resume: bool,
    display: Display,
    tell: Callable[[str], None],
    cluster: Cluster | None,
) -> CalibratedTensors:
    """Run a calibrated recipe: block by block, or on the whole model in memory if the recipe trains all of it."""
    source, windows = job.source, job.windows
    text = read_text(calibration)
    token_ids = tokenize(load_tokenizer(source.directory), text.content)
    if find_calibrated_recipe(recipe).whole.steps:
        if cluster is not None:
            raise FineqError(f"recipe {recipe} trains the whole model at once: leave --ray out, or take another recipe")
        if resume:
            raise FineqError(f"recipe {recipe} trains the whole model at once and cannot resume: leave --resume out")
        model = load_model(source.directory)
        wanted = wanted_layers(model, source, plan)
        cut = cut_windows(model, token_ids)
        with display() as progress, unseen_layers() as unseen:
            made = prepare(source, plan, *calibrate_whole(model, cut, recipe, progress, wanted, windows))
        return replace(made, unseen=tuple(unseen), fitted_to=CalibrationRecord(text.name, text.sha256, *cut.shape))
    opened = open_calibration(
        source, plan, find_calibrated_recipe(recipe), token_ids, journal_directory(output), resume, windows
    )
    tell(opened.announcement(calibration.name))
    if cluster is not None:
        tell(f"the windows are spread over the machines of the Ray cluster at {cluster.address}: it takes less")
        with display(done=opened.layers_of(finished_blocks(opened))) as progress:
            calibrate_on(cluster, opened, progress)
    with display(done=opened.done_layers) as progress, unseen_layers() as unseen:
        packed, changed = calibrate_blocks(opened, progress)
    record = CalibrationRecord(text.name, text.sha256, *opened.windows.shape)
    return replace(prepare(source, plan, packed, changed), unseen=tuple(unseen), fitted_to=record)
