"""What of FineQ works with a model type: each stage is tried on a tiny model with random weights."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

import fineq.huggingface  # noqa: F401  (lets transformers load packed models)
from fineq.blockwise import calibrate_blocks, open_calibration
from fineq.calibrated import find_calibrated_recipe
from fineq.checkpoint.planning import Options, make_plan
from fineq.checkpoint.quantize import quantize_checkpoint
from fineq.checkpoint.source import open_source
from fineq.common.errors import UserError
from fineq.evaluation.perplexity import perplexity
from fineq_reports.model_types.outcome import REFUSED, WORKS, WRONG
from fineq_reports.model_types.tiny import VOCABULARY, NotTiny, find_tiny, one_line
from fineq_sim.study.architecture import find_architecture
from fineq_sim.study.run import run_study
from fineq_sim.study.steps import find_steps
from fineq_sim.workloads.find import find_workload

RECIPE, CALIBRATED = "mse", "calibrated"
MACHINE = "accelerator_16x16"
LENGTH, WINDOWS = 32, 4
"""Tokens of a window, and windows."""


@dataclass
class Support:
    """What works with a model type.

    Attributes:
        model_type: its name in transformers.
        stages: of each stage that was tried `works`, `refused` or `wrong`, in the order of `STAGES`.
        reasons: of those that do not work.
        lacks: parts that models of this type have by default, and the tiny one has not.
    """

    model_type: str
    stages: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    lacks: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class _Place:
    """Directories of one model.

    Attributes:
        source: the full-precision model.
        packed: what recipe `mse` makes of it, once that stage is done.
        journal: of the calibration.
    """

    source: Path
    packed: Path
    journal: Path


def _quantize(place: _Place) -> None:
    quantize_checkpoint(open_source(place.source), place.packed, Options(RECIPE))


def _load(place: _Place) -> None:
    model = _loaded(place)
    ids = _windows()[:1]
    with torch.no_grad():
        written = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=2)
    if written.shape[1] <= LENGTH:
        raise ArithmeticError("the model writes nothing")


def _evaluate(place: _Place) -> None:
    perplexity(_loaded(place), _windows().flatten(), LENGTH)


def _calibrate(place: _Place) -> None:
    source = open_source(place.source)
    plan = make_plan(source, Options(CALIBRATED), "row")
    calibration = open_calibration(source, plan, find_calibrated_recipe(CALIBRATED), _windows(), place.journal)
    packed, _ = calibrate_blocks(calibration)
    if not len(packed):
        raise ArithmeticError("nothing is packed")


def _simulate(place: _Place) -> None:
    workload = find_workload(str(place.packed), sequences=(LENGTH,))
    machine = find_architecture(MACHINE)
    study = run_study(workload, machine, find_steps("packed", machine.config, place.source, packed=True), engine="tile")
    if not study.outcomes[0].cycles:
        raise ArithmeticError("the machine does nothing")


STAGES: dict[str, tuple[str, Callable[[_Place], None]]] = {
    "quantize": ("`fineq quantize`, recipe `mse`: the file is written", _quantize),
    "load": ("`from_pretrained` of that file, and greedy generation from the packed layers", _load),
    "eval": ("`fineq eval`: perplexity of the packed model is a number", _evaluate),
    "calibrate": ("`fineq quantize --recipe calibrated`: every block is fitted to its inputs", _calibrate),
    "simulate": (f"`fineq simulate` of the packed file's own codes on `{MACHINE}`, engine `tile`", _simulate),
}
"""What each stage means, and how it is tried; those after `quantize` take its file, but `calibrate`."""


def support(model_type: str) -> Support:
    """Try all stages on a model type. Nothing is raised: whatever goes wrong is what is found."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = Support(model_type)
    with tempfile.TemporaryDirectory() as directory:
        place = _Place(*(Path(directory) / name for name in ("source", "packed", "journal")))
        try:
            tiny = find_tiny(model_type)
            AutoModelForCausalLM.from_config(tiny.config).save_pretrained(place.source)
        except (NotTiny, RuntimeError, ValueError, TypeError, AttributeError) as error:
            found.reasons["quantize"] = f"transformers makes no tiny model of it: {error}"
            return found
        found.lacks = list(tiny.lacks)
        for stage, (_, attempt) in STAGES.items():
            if stage not in ("quantize", "calibrate") and not place.packed.is_dir():
                continue  # there is no file to go on with
            try:
                attempt(place)
            except UserError as error:
                verdict, reason = REFUSED, str(error)
            except Exception as error:
                verdict, reason = WRONG, one_line(error)
            else:
                verdict, reason = WORKS, ""
            found.stages[stage] = verdict
            if reason:
                found.reasons[stage] = reason.replace(directory, "MODEL")
    return found


def _loaded(place: _Place) -> Any:
    return AutoModelForCausalLM.from_pretrained(place.packed, dtype=torch.float32).eval()


def _windows() -> torch.Tensor:
    """Tokens of the tiny vocabulary, seeded, none of them special: int64 [WINDOWS, LENGTH]."""
    return torch.randint(6, VOCABULARY, (WINDOWS, LENGTH), generator=torch.Generator().manual_seed(0))
